//! The words for kinds of orders and for what has become of orders and disputes.

use super::words::words;

words! {
    /// Which side the maker of an order is on.
    OrderKind {
        /// The maker buys sats.
        Buy = "buy",
        /// The maker sells sats.
        Sell = "sell",
    }
}

words! {
    /// The status of an order, as clients know it.
    Status {
        /// In the book.
        Pending = "pending",
        /// The maker must pay his bond.
        WaitingMakerBond = "waiting-maker-bond",
        /// The taker must pay his bond.
        WaitingTakerBond = "waiting-taker-bond",
        /// The seller must pay the hold invoice.
        WaitingPayment = "waiting-payment",
        /// The buyer must say where he is paid.
        WaitingBuyerInvoice = "waiting-buyer-invoice",
        /// The escrow is funded.
        Active = "active",
        /// The buyer says he sent the fiat.
        FiatSent = "fiat-sent",
        /// A dispute is open.
        Dispute = "dispute",
        /// The sats are ours and owed to the buyer.
        SettledHoldInvoice = "settled-hold-invoice",
        /// The buyer is paid.
        Success = "success",
        /// Canceled by a trader or by a deadline.
        Canceled = "canceled",
        /// Canceled by both traders.
        CooperativelyCanceled = "cooperatively-canceled",
        /// Canceled by a solver.
        CanceledByAdmin = "canceled-by-admin",
        /// Nobody took it in time.
        Expired = "expired",
        /// Settled by a solver.
        SettledByAdmin = "settled-by-admin",
        /// Completed by a solver.
        CompletedByAdmin = "completed-by-admin",
        /// The book's word for every order that is taken.
        InProgress = "in-progress",
    }
}

words! {
    /// The status of a dispute.
    DisputeStatus {
        /// No solver yet.
        Initiated = "initiated",
        /// A solver has taken it.
        InProgress = "in-progress",
        /// The solver gave the sats to the buyer.
        Settled = "settled",
        /// The solver gave the sats back to the seller.
        SellerRefunded = "seller-refunded",
        /// The seller released.
        Released = "released",
        /// Both traders canceled.
        CooperativelyCanceled = "cooperatively-canceled",
    }
}

words! {
    /// Who opened a dispute.
    Initiator {
        /// The buyer.
        Buyer = "buyer",
        /// The seller.
        Seller = "seller",
    }
}
