//! Slots in memory that compiled code can read: a storage of one's own, and `resource.rep`
//! as the machine code for it would do it. `cargo run -p helve-model --example shared_slots`

use helve_model::handles::Header;
use helve_model::layout::{SLOT_REP, SLOT_SIZE, SLOT_TAG, resource_tag};
use helve_model::{HandleError, Slot, Storage, Table, TypeId};

/// Slots as bytes at a place that compiled code knows. An engine would map memory; the
/// rules only ever see this trait.
#[derive(Default)]
struct SharedSlots {
    header: Header,
    bytes: Vec<u8>,
}

impl Storage for SharedSlots {
    fn header(&self) -> Header {
        self.header
    }

    fn set_header(&mut self, header: Header) {
        self.header = header;
    }

    fn get(&self, index: u32) -> Slot {
        let at = index as usize * SLOT_SIZE as usize;
        let word = |field: usize| {
            let at = at + field;
            u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
        };
        Slot::from_words([word(0), word(4), word(8), word(12)])
    }

    fn set(&mut self, index: u32, slot: Slot) {
        let at = index as usize * SLOT_SIZE as usize;
        for (i, word) in slot.to_words().into_iter().enumerate() {
            self.bytes[at + 4 * i..at + 4 * i + 4].copy_from_slice(&word.to_le_bytes());
        }
    }

    fn reserve(&mut self, index: u32) -> bool {
        let bytes = (index as usize + 1) * SLOT_SIZE as usize;
        self.bytes.resize(self.bytes.len().max(bytes), 0);
        true
    }
}

/// What the compiled `resource.rep` does: two loads and two comparisons.
fn compiled_rep(slots: &SharedSlots, index: u32, ty: TypeId) -> Option<u32> {
    let at = index as usize * SLOT_SIZE as usize;
    let load = |field: u32| {
        let at = at + field as usize;
        u32::from_le_bytes(slots.bytes[at..at + 4].try_into().unwrap())
    };
    let is_there = index < slots.header.len && load(SLOT_TAG) | 1 == resource_tag(ty) | 1;
    is_there.then(|| load(SLOT_REP))
}

fn main() -> Result<(), HandleError> {
    let file = TypeId::new(1).expect("a number below 2^28");
    let socket = TypeId::new(2).expect("a number below 2^28");
    let mut table = Table::with_storage(SharedSlots::default(), 1000);
    let a = table.new_own(file, 0xf11e)?;
    let b = table.new_own(socket, 0x50c)?;
    assert_eq!(compiled_rep(table.storage(), a, file), Some(0xf11e));
    assert_eq!(compiled_rep(table.storage(), b, socket), Some(0x50c));
    // Where the fast path finds nothing, the slow path says why.
    assert_eq!(compiled_rep(table.storage(), b, file), None);
    println!("{}", table.rep(b, file).unwrap_err());
    table.take_own(a, file)?;
    assert_eq!(compiled_rep(table.storage(), a, file), None);
    println!("{}", table.rep(a, file).unwrap_err());
    // The index that was freed last is the next one to be used.
    assert_eq!(table.new_own(socket, 1)?, a);
    Ok(())
}
