//! The resource table against a naive twin: long runs of random operations.
//!
//! The twin is a vector of optional entries and a vector of freed indices, and does
//! everything the slow and obvious way. After each failure the two must still agree, so
//! operations that fail have changed nothing.

use helve_model::handles::{Header, MAX_INDEX};
use helve_model::*;

/// A small generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(n)) >> 32) as u32
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    ty: u32,
    rep: u32,
    scope: Option<usize>,
    lends: u32,
}

#[derive(Default)]
struct Twin {
    entries: Vec<Option<Entry>>,
    freed: Vec<u32>,
    limit: u32,
}

impl Twin {
    fn add(&mut self, entry: Entry) -> Option<u32> {
        if self.entries.is_empty() {
            self.entries.push(None);
        }
        if let Some(index) = self.freed.pop() {
            self.entries[index as usize] = Some(entry);
            return Some(index);
        }
        let index = self.entries.len() as u32;
        if index > self.limit {
            return None;
        }
        self.entries.push(Some(entry));
        Some(index)
    }

    fn get(&mut self, index: u32, ty: u32) -> Option<&mut Entry> {
        self.entries
            .get_mut(index as usize)?
            .as_mut()
            .filter(|entry| entry.ty == ty)
    }

    fn remove(&mut self, index: u32) {
        self.entries[index as usize] = None;
        self.freed.push(index);
    }
}

/// A table and its twin, with the scopes and loans that both know.
struct Pair {
    table: Table<VecStorage>,
    twin: Twin,
    scopes: Scopes,
    ids: Vec<(ScopeId, u32)>,
    loans: Vec<(Loans, Vec<u32>)>,
}

fn ty(number: u32) -> TypeId {
    TypeId::new(number).unwrap()
}

impl Pair {
    fn new(limit: u32) -> Pair {
        let mut scopes = Scopes::new();
        let ids = (0..3).map(|_| (scopes.begin().unwrap(), 0)).collect();
        Pair {
            table: Table::with_storage(VecStorage::new(), limit),
            twin: Twin {
                limit,
                ..Twin::default()
            },
            scopes,
            ids,
            loans: (0..3).map(|_| Default::default()).collect(),
        }
    }

    fn insert(&mut self, random: &mut Random) {
        let (number, rep) = (random.below(2) + 1, random.next());
        let scope = if random.below(3) == 0 {
            Some(random.below(3) as usize)
        } else {
            None
        };
        let found = match scope {
            None => self.table.new_own(ty(number), rep),
            Some(i) => self
                .table
                .new_borrow(&mut self.scopes, ty(number), rep, self.ids[i].0),
        };
        let want = self.twin.add(Entry {
            ty: number,
            rep,
            scope,
            lends: 0,
        });
        assert_eq!(found.as_ref().ok().copied(), want, "{found:?}");
        match (found, scope) {
            (Ok(_), Some(i)) => self.ids[i].1 += 1,
            (Err(error), _) => assert_eq!(
                error,
                HandleError::Full {
                    limit: self.twin.limit
                }
            ),
            _ => {}
        }
    }

    fn remove(&mut self, random: &mut Random, take: bool) {
        let (index, number) = self.pick(random);
        let entry = self.twin.get(index, number).cloned();
        let free = entry.clone().filter(|entry| entry.lends == 0);
        if take {
            let found = self.table.take_own(index, ty(number)).ok();
            let own = free.filter(|entry| entry.scope.is_none());
            assert_eq!(found, own.map(|entry| entry.rep));
            if found.is_some() {
                self.twin.remove(index);
            }
            return;
        }
        let found = self
            .table
            .drop_resource(&mut self.scopes, index, ty(number))
            .ok();
        let want = free.as_ref().map(|entry| match entry.scope {
            None => Dropped::Own { rep: entry.rep },
            Some(_) => Dropped::Borrow,
        });
        assert_eq!(found, want);
        if let Some(entry) = free {
            self.twin.remove(index);
            if let Some(i) = entry.scope {
                self.ids[i].1 -= 1;
            }
        }
    }

    fn lend(&mut self, random: &mut Random) {
        let (index, number) = self.pick(random);
        let (loans, twin_loans) = &mut self.loans[random.below(3) as usize];
        let found = self.table.lend(loans, index, ty(number)).ok();
        let entry = self.twin.get(index, number);
        let want = entry.as_ref().map(|e| Lent {
            rep: e.rep,
            own: e.scope.is_none(),
        });
        assert_eq!(found, want);
        if let Some(entry) = entry {
            entry.lends += 1;
            twin_loans.push(index);
        }
        assert!(loans.indices().eq(twin_loans.iter().copied()));
    }

    fn end_loans(&mut self, random: &mut Random) {
        let (loans, twin_loans) = &mut self.loans[random.below(3) as usize];
        self.table.end_loans(loans).unwrap();
        for index in twin_loans.drain(..) {
            self.twin.entries[index as usize].as_mut().unwrap().lends -= 1;
        }
    }

    fn end_scope(&mut self, random: &mut Random) {
        let (id, count) = &mut self.ids[random.below(3) as usize];
        assert_eq!(self.scopes.borrows(*id), Ok(*count));
        match self.scopes.end(*id) {
            Ok(()) => {
                assert_eq!(*count, 0);
                *id = self.scopes.begin().unwrap();
            }
            Err(error) => assert_eq!(error, HandleError::BorrowsRemain { count: *count }),
        }
    }

    /// Most often an index in use with its own type.
    fn pick(&mut self, random: &mut Random) -> (u32, u32) {
        let index = random.below(self.twin.entries.len() as u32 + 2);
        let entry = self.twin.entries.get(index as usize).cloned().flatten();
        match entry {
            Some(entry) if random.below(8) != 0 => (index, entry.ty),
            _ => (index, random.below(2) + 1),
        }
    }

    fn compare(&self) {
        assert_eq!(self.table.audit(), Ok(()));
        let found: Vec<(u32, u32, u32, u32)> = self
            .table
            .iter()
            .map(|(index, slot)| (index, slot.ty().get(), slot.rep(), slot.lends()))
            .collect();
        let want: Vec<(u32, u32, u32, u32)> = (0..)
            .zip(&self.twin.entries)
            .filter_map(|(index, entry)| entry.as_ref().map(|e| (index, e.ty, e.rep, e.lends)))
            .collect();
        assert_eq!(found, want);
    }
}

#[test]
fn random_runs() {
    for (seed, limit, steps) in [(1, 8, 60_000), (2, 60, 200_000), (3, 3000, 200_000)] {
        let mut random = Random(seed);
        let mut pair = Pair::new(limit);
        for step in 0..steps {
            // Phases that grow and phases that shrink.
            let grow = if (step / 2000) % 2 == 0 { 40 } else { 15 };
            match random.below(100) {
                n if n < grow => pair.insert(&mut random),
                n if n < 60 => pair.remove(&mut random, n % 2 == 0),
                n if n < 70 => pair.lend(&mut random),
                n if n < 80 => pair.end_loans(&mut random),
                n if n < 85 => pair.end_scope(&mut random),
                _ => {
                    let (index, number) = pair.pick(&mut random);
                    let rep = pair.table.rep(index, ty(number)).ok();
                    assert_eq!(rep, pair.twin.get(index, number).map(|entry| entry.rep));
                }
            }
            if step % 997 == 0 {
                pair.compare();
            }
        }
        pair.compare();
    }
}

/// A store of slots that pretends to be almost full.
struct Huge {
    header: Header,
    last: Slot,
}

impl Storage for Huge {
    fn header(&self) -> Header {
        self.header
    }
    fn set_header(&mut self, header: Header) {
        self.header = header;
    }
    fn get(&self, _: u32) -> Slot {
        self.last
    }
    fn set(&mut self, _: u32, slot: Slot) {
        self.last = slot;
    }
    fn reserve(&mut self, index: u32) -> bool {
        index <= MAX_INDEX
    }
}

#[test]
fn the_highest_index() {
    let storage = Huge {
        header: Header {
            len: MAX_INDEX - 1,
            free: 0,
        },
        last: Slot::default(),
    };
    let mut table = Table::with_storage(storage, u32::MAX);
    assert_eq!(table.new_own(ty(1), 0), Ok(MAX_INDEX - 1));
    assert_eq!(table.new_own(ty(1), 0), Ok(MAX_INDEX));
    assert_eq!(
        table.new_own(ty(1), 0),
        Err(HandleError::Full { limit: MAX_INDEX })
    );
    assert_eq!(
        table.storage().header(),
        Header {
            len: MAX_INDEX + 1,
            free: 0
        }
    );
}

/// Many owned handles taken and made at once, against one by one: the same representations
/// and indices, the same failures, and the same table afterwards.
#[test]
fn many_at_once() {
    let mut random = Random(0x5EED_0F0A);
    for round in 0..2000 {
        let limit = 1 + random.below(40);
        let mut table = Table::with_storage(VecStorage::new(), limit);
        for _ in 0..random.below(30) {
            let _ = table.new_own(ty(random.below(8) / 7), random.next());
            if random.below(4) == 0 {
                let _ = table.take_own(random.below(limit), ty(0));
            }
            if random.below(12) == 0 {
                let mut loans = Loans::new();
                let _ = table.lend(&mut loans, random.below(limit), ty(0));
            }
        }
        let mut twin = table.clone();
        let indices: Vec<u32> = match random.below(3) {
            // Whatever there is, once; or anything.
            0 => (0..random.below(12))
                .map(|_| random.below(limit + 2))
                .collect(),
            _ => table.iter().map(|(index, _)| index).collect(),
        };
        let mut reps = Vec::new();
        let taken = table.take_owns(ty(0), indices.iter().copied(), &mut reps);
        let mut one_by_one = Vec::new();
        let take = |index: &u32| twin.take_own(*index, ty(0)).map(|rep| one_by_one.push(rep));
        assert_eq!(taken, indices.iter().try_for_each(take), "round {round}");
        assert_eq!(reps, one_by_one);
        let new: Vec<u32> = (0..random.below(50)).map(|_| random.next()).collect();
        let (mut given, mut given_one_by_one) = (Vec::new(), Vec::new());
        let made = table.new_owns(ty(1), &new, |index| given.push(index));
        let make = |rep: &u32| {
            let index = twin.new_own(ty(1), *rep);
            index.map(|index| given_one_by_one.push(index))
        };
        assert_eq!(made, new.iter().try_for_each(make), "round {round}");
        assert_eq!(given, given_one_by_one);
        assert_eq!(table.storage().header(), twin.storage().header());
        assert!(table.iter().eq(twin.iter()));
        table.audit().unwrap();
    }
}
