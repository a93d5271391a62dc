//! The tables of the ledger file; `FORMAT.md` describes each.

use redb::TableDefinition;

/// One table. Keys and values are bytes: what they mean stands with the room
/// that owns the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// What the file itself must say: its format, whose node it belongs to.
    Node,
    /// Orders that still move.
    Orders,
    /// Orders that ended.
    OrdersArchive,
    /// Index: trade keys of the parties of living orders.
    LivingTradeKeys,
    /// Index: identities of the parties of living orders.
    LivingIdentities,
    /// Index: hashes of the invoices to which buyers want to be paid.
    InvoiceHashes,
    /// Index: pending orders of makers without identity.
    PendingPrivate,
    /// Takes that ended while their order lives on.
    EndedTakes,
    /// Disputes.
    Disputes,
    /// Index: disputes that wait for a ruling.
    OpenDisputes,
    /// Who may judge disputes.
    Solvers,
    /// Hold invoices.
    Holds,
    /// Index: hash of a hold.
    HoldHashes,
    /// Index: holds of an order.
    HoldsOfOrder,
    /// Index: holds that Lightning is asked to open.
    OpeningHolds,
    /// Index: holds that are open or accepted.
    OpenHolds,
    /// Index: holds that are being settled or canceled.
    ClosingHolds,
    /// Index: holds that lock sats, by the height at which they give them back.
    HoldExpiries,
    /// Payouts.
    Payouts,
    /// Index: payouts of an order.
    PayoutsOfOrder,
    /// Index: payouts that are not paid.
    LivingPayouts,
    /// Index: payouts that wait until fewer payments are on their way.
    QueuedPayouts,
    /// Attempts, by payment hash.
    Attempts,
    /// Index: attempts of a payout.
    AttemptsOfPayout,
    /// Index: the one attempt of a payout that is with Lightning.
    SentAttempts,
    /// Who has given what to whom.
    Entries,
    /// What sellers have paid beyond what was asked.
    Surpluses,
    /// What each account has got and given.
    Accounts,
    /// Payments of Lightning's that the operator has to explain.
    UnknownPayments,
    /// Identities.
    Users,
    /// Messages that were answered.
    Seen,
    /// Index: answered messages by time.
    SeenTimes,
    /// Signed events that wait to be delivered.
    Outbox,
    /// External relays that get a copy of what the node publishes.
    Mirrors,
    /// Signed events that wait to be acknowledged by a mirror.
    Backlog,
    /// Index: what waits of each public address.
    BacklogAddresses,
    /// Mirrors through which a trade key has asked.
    Paths,
    /// Index: paths by time.
    PathTimes,
    /// Moments at which an order wants to be looked at.
    Timers,
    /// Index: the timer of an order and kind.
    TimersOfOrder,
    /// The last `created_at` of each public address.
    Stamps,
    /// The last `created_at` of the letters to each trade key.
    LetterStamps,
    /// Index: letter stamps by time.
    LetterStampTimes,
    /// What was decided, for people to read.
    Journal,
    /// Messages that could not be decided.
    SetAside,
    /// The last number given out of each series.
    Series,
}

impl Table {
    /// Every table, in the order of the enum.
    pub(crate) const ALL: [Table; 46] = [
        Table::Node,
        Table::Orders,
        Table::OrdersArchive,
        Table::LivingTradeKeys,
        Table::LivingIdentities,
        Table::InvoiceHashes,
        Table::PendingPrivate,
        Table::EndedTakes,
        Table::Disputes,
        Table::OpenDisputes,
        Table::Solvers,
        Table::Holds,
        Table::HoldHashes,
        Table::HoldsOfOrder,
        Table::OpeningHolds,
        Table::OpenHolds,
        Table::ClosingHolds,
        Table::HoldExpiries,
        Table::Payouts,
        Table::PayoutsOfOrder,
        Table::LivingPayouts,
        Table::QueuedPayouts,
        Table::Attempts,
        Table::AttemptsOfPayout,
        Table::SentAttempts,
        Table::Entries,
        Table::Surpluses,
        Table::Accounts,
        Table::UnknownPayments,
        Table::Users,
        Table::Seen,
        Table::SeenTimes,
        Table::Outbox,
        Table::Mirrors,
        Table::Backlog,
        Table::BacklogAddresses,
        Table::Paths,
        Table::PathTimes,
        Table::Timers,
        Table::TimersOfOrder,
        Table::Stamps,
        Table::LetterStamps,
        Table::LetterStampTimes,
        Table::Journal,
        Table::SetAside,
        Table::Series,
    ];

    /// Its name in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Table::Node => "node",
            Table::Orders => "orders",
            Table::OrdersArchive => "orders_archive",
            Table::LivingTradeKeys => "living_trade_keys",
            Table::LivingIdentities => "living_identities",
            Table::InvoiceHashes => "invoice_hashes",
            Table::PendingPrivate => "pending_private",
            Table::EndedTakes => "ended_takes",
            Table::Disputes => "disputes",
            Table::OpenDisputes => "open_disputes",
            Table::Solvers => "solvers",
            Table::Holds => "holds",
            Table::HoldHashes => "hold_hashes",
            Table::HoldsOfOrder => "holds_of_order",
            Table::OpeningHolds => "opening_holds",
            Table::OpenHolds => "open_holds",
            Table::ClosingHolds => "closing_holds",
            Table::HoldExpiries => "hold_expiries",
            Table::Payouts => "payouts",
            Table::PayoutsOfOrder => "payouts_of_order",
            Table::LivingPayouts => "living_payouts",
            Table::QueuedPayouts => "queued_payouts",
            Table::Attempts => "attempts",
            Table::AttemptsOfPayout => "attempts_of_payout",
            Table::SentAttempts => "sent_attempts",
            Table::Entries => "entries",
            Table::Surpluses => "surpluses",
            Table::Accounts => "accounts",
            Table::UnknownPayments => "unknown_payments",
            Table::Users => "users",
            Table::Seen => "seen",
            Table::SeenTimes => "seen_times",
            Table::Outbox => "outbox",
            Table::Mirrors => "mirrors",
            Table::Backlog => "backlog",
            Table::BacklogAddresses => "backlog_addresses",
            Table::Paths => "paths",
            Table::PathTimes => "path_times",
            Table::Timers => "timers",
            Table::TimersOfOrder => "timers_of_order",
            Table::Stamps => "stamps",
            Table::LetterStamps => "letter_stamps",
            Table::LetterStampTimes => "letter_stamp_times",
            Table::Journal => "journal",
            Table::SetAside => "set_aside",
            Table::Series => "series",
        }
    }

    /// How redb knows it.
    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }
}
