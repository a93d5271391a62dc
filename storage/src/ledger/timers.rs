//! Moments at which an order wants to be looked at again: one per order and kind.

use escrow_core::UnixTime;
use escrow_core::order::OrderId;
use escrow_core::timer::{Timer, TimerKind};

use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::page::Page;
use super::table::Table;
use super::view::View;

impl KeyPart for TimerKind {
    fn write(&self, key: &mut Vec<u8>) {
        key.push(match self {
            TimerKind::OpeningHold => 1,
            TimerKind::PayoutRetry => 2,
            TimerKind::StepDeadline => 3,
            TimerKind::OfferDeadline => 4,
            TimerKind::Refresh => 5,
            TimerKind::Reprompt => 6,
            TimerKind::DevFee => 7,
        });
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        match u8::read(key)? {
            1 => Some(TimerKind::OpeningHold),
            2 => Some(TimerKind::PayoutRetry),
            3 => Some(TimerKind::StepDeadline),
            4 => Some(TimerKind::OfferDeadline),
            5 => Some(TimerKind::Refresh),
            6 => Some(TimerKind::Reprompt),
            7 => Some(TimerKind::DevFee),
            _ => None,
        }
    }
}

impl KeyPart for Timer {
    fn write(&self, key: &mut Vec<u8>) {
        (self.at, self.order, self.kind).write(key);
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        let (at, order, kind) = KeyPart::read(key)?;
        Some(Timer { at, order, kind })
    }
}

impl View {
    /// The timers due at `now` or before, earliest first, at most `limit`.
    pub fn due_timers(&self, now: UnixTime, limit: usize) -> Result<Vec<Timer>, StorageError> {
        let mut due = Vec::new();
        for row in self.rows(Table::Timers)?.take(limit) {
            let timer: Timer = read_key(Table::Timers, &row?.0)?;
            if timer.at > now {
                break;
            }
            due.push(timer);
        }
        Ok(due)
    }

    /// The moment of the first timer.
    pub fn next_timer(&self) -> Result<Option<UnixTime>, StorageError> {
        let first = self.first(Table::Timers)?;
        first
            .map(|(key, _)| Ok(read_key::<Timer>(Table::Timers, &key)?.at))
            .transpose()
    }

    /// The timer of an order and kind.
    pub fn timer_of(&self, order: OrderId, kind: TimerKind) -> Result<Option<Timer>, StorageError> {
        let Some(at) = self.get(Table::TimersOfOrder, &key(&(order, kind)))? else {
            return Ok(None);
        };
        Ok(Some(Timer {
            at: read_key(Table::TimersOfOrder, &at)?,
            order,
            kind,
        }))
    }
}

impl Page<'_> {
    /// Sets a timer, in place of an earlier one of the same order and kind.
    pub fn put_timer(&mut self, timer: Timer) -> Result<(), StorageError> {
        if let Some(before) = self.timer_of(timer.order, timer.kind)? {
            self.remove(Table::Timers, key(&before))?;
        }
        self.put(
            Table::TimersOfOrder,
            key(&(timer.order, timer.kind)),
            key(&timer.at),
        )?;
        self.put(Table::Timers, key(&timer), Vec::new())
    }

    /// Makes `due` the timers of an order: others that it has are removed,
    /// and one that is set already is left as it is.
    pub fn set_timers(&mut self, order: OrderId, due: &[Timer]) -> Result<(), StorageError> {
        for kind in self.names(Table::TimersOfOrder, &key(&order))? {
            let set = self.timer_of(order, kind)?;
            for timer in set.into_iter().filter(|timer| !due.contains(timer)) {
                self.remove_timer(timer)?;
            }
        }
        for timer in due {
            if !self.has(Table::Timers, &key(timer))? {
                self.put_timer(*timer)?;
            }
        }
        Ok(())
    }

    /// Removes a timer; one that is gone, or set to another moment, is left so.
    pub fn remove_timer(&mut self, timer: Timer) -> Result<(), StorageError> {
        if self.has(Table::Timers, &key(&timer))? {
            self.remove(Table::Timers, key(&timer))?;
            self.remove(Table::TimersOfOrder, key(&(timer.order, timer.kind)))?;
        }
        Ok(())
    }
}
