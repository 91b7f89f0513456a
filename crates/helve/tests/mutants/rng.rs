//! A small generator of pseudo-random numbers, the same everywhere: a seed is enough to
//! see a run again. Not here: anything of what is made from them.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed ^ 0x9e37_79b9_7f4a_7c15);
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True in `n` of `of` cases.
    pub fn chance(&mut self, n: usize, of: usize) -> bool {
        self.below(of) < n
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A number of any size, often one at an edge.
    pub fn number(&mut self) -> u64 {
        let near = self.below(5) as u64;
        match self.below(10) {
            0 => near,
            1 => near.wrapping_sub(5),
            2 => (1u64 << self.below(64)).wrapping_add(near).wrapping_sub(2),
            3 => self.next() % 64,
            4 => self.next() % 1024 * 4,
            5 => (self.next() % 0x2_0000).wrapping_add(0xff00),
            6 => u64::from(self.next() as u32),
            7 => (1 << 28) - 2 + near,
            8 => 65536 - 8 + near * 4,
            _ => self.next(),
        }
    }
}
