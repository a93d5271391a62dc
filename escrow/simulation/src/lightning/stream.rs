//! A stream of news, and what may be wrong with it.

use crate::dice::Dice;

/// How a stream lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bend {
    Straight,
    /// It ends before it said anything.
    Drop,
    /// It tells the present state and ends.
    EndOfFile,
    /// It never says anything and never ends.
    Silent,
    /// It tells everything twice.
    Duplicate,
    /// Of two updates it tells the later first.
    Reorder,
}

impl Bend {
    pub(super) fn draw(dice: &mut Dice) -> Bend {
        match dice.below(100) {
            0..6 => Bend::Drop,
            6..12 => Bend::EndOfFile,
            12..20 => Bend::Silent,
            20..26 => Bend::Duplicate,
            26..32 => Bend::Reorder,
            _ => Bend::Straight,
        }
    }

    /// As it is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Bend::Straight => "good stream",
            Bend::Drop => "stream dropped",
            Bend::EndOfFile => "stream ended without an end",
            Bend::Silent => "silent stream",
            Bend::Duplicate => "stream told twice",
            Bend::Reorder => "stream out of order",
        }
    }
}

/// A subscription of a tender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    bend: Bend,
    era: u32,
    /// How much of what there was to tell it has told; none before the first word.
    told: Option<usize>,
}

/// What a stream brought.
pub(super) struct Heard<T> {
    pub(super) news: Vec<T>,
    pub(super) is_over: bool,
}

impl Stream {
    pub(super) fn new(bend: Bend, era: u32) -> Stream {
        Stream {
            bend,
            era,
            told: None,
        }
    }

    /// What is new since the last look; first the present state.
    pub(super) fn read<T: Clone>(
        &mut self,
        said: &[T],
        era: u32,
        is_final: impl Fn(&T) -> bool,
    ) -> Heard<T> {
        let mut from = self.told.unwrap_or(said.len().saturating_sub(1));
        let mut until = said.len();
        match self.bend {
            Bend::Silent => until = from,
            Bend::Drop => return over(Vec::new()),
            Bend::EndOfFile => return over(said[from..].to_vec()),
            // The last word of all is told without waiting for another.
            Bend::Reorder if !said.last().is_some_and(&is_final) => until -= (until - from) % 2,
            Bend::Straight | Bend::Duplicate | Bend::Reorder => {}
        }
        if self.bend != Bend::Silent && self.era != era {
            return over(Vec::new());
        }
        let mut news = said[from..until].to_vec();
        let is_over = news.last().is_some_and(&is_final);
        match self.bend {
            Bend::Reorder => news.reverse(),
            Bend::Duplicate => {
                news = news
                    .iter()
                    .flat_map(|it| [it.clone(), it.clone()])
                    .collect();
            }
            Bend::Straight | Bend::Drop | Bend::EndOfFile | Bend::Silent => {}
        }
        from = until;
        self.told = Some(from);
        Heard { news, is_over }
    }
}

fn over<T>(news: Vec<T>) -> Heard<T> {
    Heard {
        news,
        is_over: true,
    }
}
