//! Small damage to good JSON, the same in each run.

/// Pieces that parsers stumble over.
const PIECES: [&str; 24] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e400",
    "0.5",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "65536",
    "\0",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\"\"",
    "{}",
    "[]",
];

/// An endless row of damaged seeds.
pub(crate) struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    dice: Dice,
}

impl<'a> Mutations<'a> {
    pub(crate) fn of(seeds: &'a [Vec<u8>]) -> Self {
        let dice = Dice(1);
        Self { seeds, dice }
    }

    /// Damages one place.
    fn damage(&mut self, data: &mut Vec<u8>) {
        let at = self.dice.below(data.len() + 1);
        let end = (at + self.dice.below(12)).min(data.len());
        match self.dice.below(7) {
            0 => drop(data.drain(at..end)),
            1 => {
                let twice = data[at..end].to_vec();
                data.splice(at..at, twice);
            }
            2 => {
                let piece = PIECES[self.dice.below(PIECES.len())];
                data.splice(at..end, piece.bytes());
            }
            3 => {
                let piece = PIECES[self.dice.below(PIECES.len())];
                data.splice(at..at, piece.bytes());
            }
            4 => {
                let other = &self.seeds[self.dice.below(self.seeds.len())];
                let from = self.dice.below(other.len() + 1);
                let to = (from + self.dice.below(80)).min(other.len());
                data.splice(at..end, other[from..to].iter().copied());
            }
            5 => self.change_digit(data),
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << self.dice.below(7);
                }
            }
        }
    }

    /// Another digit leaves the JSON whole and means something else.
    fn change_digit(&mut self, data: &mut [u8]) {
        let digits: Vec<_> = (0..data.len())
            .filter(|at| data[*at].is_ascii_digit())
            .collect();
        if !digits.is_empty() {
            let at = digits[self.dice.below(digits.len())];
            data[at] = b"0123456789"[self.dice.below(10)];
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut data = self.seeds[self.dice.below(self.seeds.len())].clone();
        for _ in 0..=self.dice.below(3) {
            self.damage(&mut data);
        }
        Some(data)
    }
}

/// Numbers that are the same in each run (splitmix64).
struct Dice(u64);

impl Dice {
    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = u64::try_from(end).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % end).unwrap()
    }
}
