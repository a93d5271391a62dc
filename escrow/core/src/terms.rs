//! The node's terms of trade, from its settings.

use crate::amount::Sats;

/// What the operator has set and every decision must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Share of the amount that both sides together pay.
    pub fee: f64,
    /// Share of both sides' fees that the house gives to the development.
    pub dev_fee_share: f64,
    /// The address it goes to; none = it is not paid (rule J1).
    pub dev_fee_destination: Option<String>,
    /// Share of a payout that routing may cost at most.
    pub max_routing_fee: f64,
    /// Smallest amount of an order.
    pub min_amount: Sats,
    /// Largest amount of an order.
    pub max_amount: Sats,
    /// Accepted currency codes; empty = all.
    pub fiat_currencies: Vec<String>,
    /// Life of a pending order whose maker names no deadline.
    pub order_life_secs: u64,
    /// Longest life of a pending order.
    pub max_order_life_secs: u64,
    /// Length of a waiting step.
    pub step_secs: u64,
    /// Life that a payout invoice must have left when it is given.
    pub invoice_window_secs: u64,
    /// Final CLTV delta of hold invoices.
    pub hold_cltv_delta_blocks: u32,
    /// Highest total time lock of a payout; 0 = the node's own.
    pub payment_cltv_limit_blocks: u32,
    /// Counted tries of a payout per invoice.
    pub payment_attempts: u32,
    /// Seconds between two of them.
    pub payment_retry_secs: u64,
    /// Most pending orders of one identity.
    pub pending_per_identity: u32,
    /// Most pending orders of all who trade without identity.
    pub pending_without_identity: u32,
    /// Most orders that one question may name.
    pub max_orders_per_response: usize,
    /// Most holds open or accepted at once.
    pub max_open_holds: u32,
    /// Most holds being opened at once.
    pub max_opening_holds: u32,
    /// Most payments in flight at once; 0 = no cap (rule P11).
    pub max_inflight_payouts: u32,
    /// Most of them to one payee; 0 = no cap.
    pub max_inflight_payouts_per_payee: u32,
    /// Blocks before the end of an escrow at which the node acts; it warns
    /// [`WARNING_BLOCKS`] earlier (rule X1).
    pub escrow_deadline_margin_blocks: u32,
}

impl Default for Terms {
    /// What the settings say where the operator says nothing.
    fn default() -> Terms {
        const DAY: u64 = 86_400;
        Terms {
            fee: 0.006,
            dev_fee_share: 0.30,
            dev_fee_destination: None,
            max_routing_fee: 0.002,
            min_amount: Sats(100),
            max_amount: Sats(1_000_000),
            fiat_currencies: Vec::new(),
            order_life_secs: DAY,
            max_order_life_secs: 15 * DAY,
            step_secs: 900,
            invoice_window_secs: 3_600,
            hold_cltv_delta_blocks: 144,
            payment_cltv_limit_blocks: 1_008,
            payment_attempts: 3,
            payment_retry_secs: 60,
            pending_per_identity: 20,
            pending_without_identity: 500,
            max_orders_per_response: 10,
            max_open_holds: 200,
            max_opening_holds: 16,
            max_inflight_payouts: 100,
            max_inflight_payouts_per_payee: 10,
            escrow_deadline_margin_blocks: 36,
        }
    }
}

/// How long the node may think about a hold invoice before it gives up (rule B1).
pub const OPENING_SECS: u64 = 8;

/// How much longer a hold invoice lives than its step (rule B2).
pub const HOLD_GRACE_SECS: u64 = 30;

/// How many blocks before it acts the node warns of the end of an escrow.
pub const WARNING_BLOCKS: u32 = 24;

/// What a trader has at least for a step after the node was down (rule E11).
pub const GRACE_AFTER_DOWNTIME_SECS: u64 = 300;

/// How soon the node looks again at what Lightning did not answer (rule E10).
pub const LOOK_AGAIN_SECS: u64 = 30;

/// How old the newest revision of an order on offer may become (rule S6).
pub const REFRESH_SECS: u64 = 20 * 3_600;
