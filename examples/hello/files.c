/* A small WASI command that writes. files DIR
 * In the preopened directory DIR: makes a folder, writes, appends, reads,
 * renames and removes a file, and removes the folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(const char *what, int r) {
    if (r < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: ok\n", what);
    return r;
}

int main(int argc, char **argv) {
    char buf[100];
    struct stat st;
    int fd;
    if (argc < 2 || chdir(argv[1]) < 0) {
        printf("usage: files DIR (a preopened directory)\n");
        return 1;
    }
    if (check("mkdir", mkdir("demo", 0777)) < 0)
        return 1;
    fd = open("demo/a.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    check("create", fd);
    check("write", write(fd, "first line\n", 11));
    close(fd);
    fd = open("demo/a.txt", O_WRONLY | O_APPEND);
    check("append", write(fd, "second line\n", 12));
    close(fd);
    fd = open("demo/a.txt", O_RDONLY);
    int n = check("read", read(fd, buf, sizeof buf));
    close(fd);
    printf("%.*s", n, buf);
    check("stat", stat("demo/a.txt", &st));
    printf("size %lld\n", (long long)st.st_size);
    check("rename", rename("demo/a.txt", "demo/b.txt"));
    check("open the old name", open("demo/a.txt", O_RDONLY));
    check("leave the folder", open("../../etc/passwd", O_RDONLY));
    check("rmdir while full", rmdir("demo"));
    check("unlink", unlink("demo/b.txt"));
    check("rmdir", rmdir("demo"));
    return 0;
}
