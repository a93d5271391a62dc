//! The double entries of all trades, what Lightning was seen to pay, and the
//! latch that stops all payments.

use escrow_core::books::{Account, Breach, Entry};
use escrow_core::order::OrderId;
use escrow_core::{Msat, PaymentHash, UnixTime};
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::key::{KeyPart, key, read_key};
use super::page::Page;
use super::record::{Record, decode, encode};
use super::series::Series;
use super::table::Table;
use super::view::View;

/// In the table `node`.
const LATCH_KEY: &[u8] = b"latch";
const WATERMARK_KEY: &[u8] = b"payment_index";

/// While there is one, no payment leaves (rule X13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// When it fell.
    pub at: UnixTime,
    /// What the books contradict.
    pub breach: Breach,
}

/// A payment of Lightning's that the ledger knows nothing of, over the amount
/// of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownPayment {
    /// What its payee gets.
    pub amount: Msat,
    /// When Lightning began with it.
    pub created_at: UnixTime,
}

/// What an account has been given and has given, in all, in millisats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turnover {
    /// Given to it.
    pub got: Msat,
    /// Given by it.
    pub gave: Msat,
}

impl Record for Entry {}
impl Record for Latch {}
impl Record for UnknownPayment {}

impl KeyPart for Account {
    fn write(&self, key: &mut Vec<u8>) {
        key.push(match self {
            Account::Sellers => 1,
            Account::Escrow => 2,
            Account::Surplus => 3,
            Account::House => 4,
            Account::Buyers => 5,
            Account::Routers => 6,
            Account::Development => 7,
        });
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let number = u8::read(bytes)?;
        Account::ALL
            .into_iter()
            .find(|account| key(account) == [number])
    }
}

impl View {
    /// The entries of a trade, in the order in which they were made.
    pub fn entries_of(&self, order: OrderId) -> Result<Vec<Entry>, StorageError> {
        let front = key(&order);
        let mut entries = Vec::new();
        for row in self.rows_from(Table::Entries, &front)? {
            let (name, bytes) = row?;
            if !name.starts_with(&front) {
                break;
            }
            entries.push(decode(Table::Entries, &bytes)?);
        }
        Ok(entries)
    }

    /// The entries of all trades whose seller paid more than was asked, by trade.
    pub fn surpluses(&self) -> Result<Vec<Entry>, StorageError> {
        let read =
            |row: Result<(Vec<u8>, Vec<u8>), StorageError>| decode(Table::Surpluses, &row?.1);
        self.rows(Table::Surpluses)?.map(read).collect()
    }

    /// What each account has got and given in all.
    pub fn turnovers(&self) -> Result<Vec<(Account, Turnover)>, StorageError> {
        let turnover = |account| Ok((account, self.turnover(account)?));
        Account::ALL.into_iter().map(turnover).collect()
    }

    fn turnover(&self, account: Account) -> Result<Turnover, StorageError> {
        let Some(bytes) = self.get(Table::Accounts, &key(&account))? else {
            return Ok(Turnover::default());
        };
        let (got, gave) = read_key(Table::Accounts, &bytes)?;
        Ok(Turnover {
            got: Msat(got),
            gave: Msat(gave),
        })
    }

    /// Whether payments are stopped, and why.
    pub fn latch(&self) -> Result<Option<Latch>, StorageError> {
        let row = self.get(Table::Node, LATCH_KEY)?;
        row.map(|bytes| decode(Table::Node, &bytes)).transpose()
    }

    /// The highest index of a payment of Lightning's that was compared with the
    /// ledger; 0 before the first.
    pub fn payment_index(&self) -> Result<u64, StorageError> {
        let row = self.get(Table::Node, WATERMARK_KEY)?;
        row.map_or(Ok(0), |bytes| read_key(Table::Node, &bytes))
    }

    /// A payment that the operator has to explain.
    pub fn unknown_payment(
        &self,
        hash: PaymentHash,
    ) -> Result<Option<UnknownPayment>, StorageError> {
        self.record(Table::UnknownPayments, &hash)
    }

    /// The payments that the operator has to explain, by hash.
    pub fn unknown_payments(&self) -> Result<Vec<(PaymentHash, UnknownPayment)>, StorageError> {
        let read = |row: Result<(Vec<u8>, Vec<u8>), StorageError>| {
            let (hash, bytes) = row?;
            let hash = read_key(Table::UnknownPayments, &hash)?;
            Ok((hash, decode(Table::UnknownPayments, &bytes)?))
        };
        self.rows(Table::UnknownPayments)?.map(read).collect()
    }
}

impl Page<'_> {
    /// Adds an entry, which is never changed.
    pub fn push_entry(&mut self, entry: &Entry) -> Result<(), StorageError> {
        let number = self.next_number(Series::Entries)?;
        self.put_record(Table::Entries, &(entry.order, number), entry)?;
        if entry.to == Account::Surplus {
            self.put_record(Table::Surpluses, &(entry.order, number), entry)?;
        }
        self.turn_over(entry.to, |turnover| &mut turnover.got, entry.amount)?;
        self.turn_over(entry.from, |turnover| &mut turnover.gave, entry.amount)
    }

    fn turn_over(
        &mut self,
        account: Account,
        side: impl Fn(&mut Turnover) -> &mut Msat,
        amount: Msat,
    ) -> Result<(), StorageError> {
        let mut turnover = self.turnover(account)?;
        let sum = side(&mut turnover);
        *sum = sum
            .checked_add(amount)
            .ok_or_else(|| StorageError::Invariant {
                table: Table::Accounts.name(),
                what: format!("the turnover of {} does not fit", account.name()),
            })?;
        let value = key(&(turnover.got.0, turnover.gave.0));
        self.put(Table::Accounts, key(&account), value)
    }

    /// Stops all payments.
    pub fn put_latch(&mut self, latch: &Latch) -> Result<(), StorageError> {
        self.put(Table::Node, LATCH_KEY.to_vec(), encode(latch))
    }

    /// Lets payments go again.
    pub fn remove_latch(&mut self) -> Result<(), StorageError> {
        self.remove(Table::Node, LATCH_KEY.to_vec())
    }

    /// Writes how far Lightning's payments were compared with the ledger.
    pub fn put_payment_index(&mut self, index: u64) -> Result<(), StorageError> {
        self.put(Table::Node, WATERMARK_KEY.to_vec(), key(&index))
    }

    /// Keeps a payment for the operator to explain.
    pub fn put_unknown_payment(
        &mut self,
        hash: PaymentHash,
        payment: &UnknownPayment,
    ) -> Result<(), StorageError> {
        self.put_record(Table::UnknownPayments, &hash, payment)
    }

    /// A payment is explained.
    pub fn remove_unknown_payment(&mut self, hash: PaymentHash) -> Result<(), StorageError> {
        self.remove(Table::UnknownPayments, key(&hash))
    }
}
