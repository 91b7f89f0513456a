/* A small WASI command. hello [NAME [DIR]]
 * Greets NAME (with the word in the environment variable GREETING); given a
 * preopened directory DIR, lists it and prints the file DIR/hello.txt. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(const char *dir) {
    char *names[100];
    int n = 0;
    struct dirent *e;
    DIR *d = opendir(dir);
    if (!d) {
        printf("cannot open %s: %s\n", dir, strerror(errno));
        return 1;
    }
    while (n < 100 && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            names[n++] = strdup(e->d_name);
    closedir(d);
    qsort(names, n, sizeof *names, by_name);
    printf("%d entries in %s:\n", n, dir);
    for (int i = 0; i < n; i++)
        printf("  %s\n", names[i]);
    return 0;
}

int main(int argc, char **argv) {
    const char *word = getenv("GREETING");
    printf("%s, %s!\n", word ? word : "Hello", argc > 1 ? argv[1] : "world");
    if (argc < 3)
        return 0;
    if (list(argv[2]))
        return 1;

    char path[256], buf[512];
    ssize_t n;
    snprintf(path, sizeof path, "%s/hello.txt", argv[2]);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("cannot read %s: %s\n", path, strerror(errno));
        return 1;
    }
    printf("%s says: ", path);
    fflush(stdout);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        write(1, buf, n);
    close(fd);
    return 0;
}
