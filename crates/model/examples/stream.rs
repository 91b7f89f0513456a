//! A stream between two components: who waits, what is copied, what each is told.
//! `cargo run -p helve-model --example stream`

use helve_model::stream::Buffer;
use helve_model::{
    Arena, Copying, Direction, EndType, HandleError, Instances, Shape, Table, TypeId, Woken,
};

fn main() -> Result<(), HandleError> {
    let mut arena = Arena::new();
    let mut instances: Instances = Instances::default();
    let [one, two] = [(); 2].map(|()| instances.add(None).expect("few instances"));
    let (mut writer, mut reader) = (Table::new(), Table::new());

    // `stream.new` in one component, which gives the readable end away as a result.
    let bytes = TypeId::new(1).expect("a number below 2^28");
    let (readable, writable) = writer.copy_new(&mut arena, Shape::Stream, bytes, true)?;
    let given = writer.take_readable(&mut arena, readable, Shape::Stream, bytes)?;
    let readable = reader.insert_readable(&mut arena, given)?;
    let end = |direction| EndType {
        shape: Shape::Stream,
        direction,
        ty: bytes,
    };
    let (read, write) = (end(Direction::Readable), end(Direction::Writable));

    // The reader comes first, finds nobody and waits for both its end and others.
    let set = reader.waitable_set_new(&mut arena)?;
    reader.waitable_join(&mut arena, readable, set)?;
    let into = Buffer::new(0x1000, 8);
    let started = reader.copy(&mut arena, readable, read, two, into, true)?;
    assert!(matches!(started, Copying::Blocked(_)));
    let waiting = reader.begin_wait(&mut arena, set)?;

    // The writer finds it: the model says what to copy, the engine copies.
    let from = Buffer::new(0x2000, 3);
    let Copying::Copy(job) = writer.copy(&mut arena, writable, write, one, from, true)? else {
        panic!("both ends have a buffer")
    };
    let sides = arena.copy_sides(&job)?;
    println!(
        "copy {} elements from {:#x} of {:?} to {:#x} of {:?}",
        job.count, sides.from.address, sides.from_instance, sides.to.address, sides.to_instance
    );
    let payload = arena.finish_copy(job)?;
    println!("the writer is told {payload:#x}: 3 elements, completed");

    // The reader's thread can go on: it gets the event.
    assert_eq!(arena.take_woken(), [Woken::Set(waiting)]);
    let event = reader.finish_wait(&mut arena, waiting, None)?;
    println!("the reader is told {event:?}");

    // The writer is done; the reader's next read finds that out at once.
    writer.copy_drop(&mut arena, writable, write)?;
    let last = reader.copy(&mut arena, readable, read, two, into, true)?;
    println!("and then {last:?}: dropped");
    reader.copy_drop(&mut arena, readable, read)?;
    reader.waitable_set_drop(&mut arena, set)?;
    assert_eq!(arena.counts(), [0; 4], "nothing is left");
    Ok(())
}
