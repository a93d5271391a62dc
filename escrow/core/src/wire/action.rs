//! What a message wants or tells.

use super::words::words;

words! {
    /// The verb of a message.
    ///
    /// Closed, because clients know these words only. The node answers some of
    /// them with `invalid_action`; they are here so that it can read them.
    Action {
        /// To the node: put an offer into the book. From it: the offer is there.
        NewOrder = "new-order",
        /// The buyer takes a sell order.
        TakeSell = "take-sell",
        /// The seller takes a buy order.
        TakeBuy = "take-buy",
        /// The seller is asked to pay the hold invoice.
        PayInvoice = "pay-invoice",
        /// A trader is asked to pay his bond.
        PayBondInvoice = "pay-bond-invoice",
        /// The buyer says that the fiat is sent.
        FiatSent = "fiat-sent",
        /// Both sides hear that the fiat is sent.
        FiatSentOk = "fiat-sent-ok",
        /// The seller gives the sats to the buyer.
        Release = "release",
        /// The buyer hears that the seller released.
        Released = "released",
        /// A trader wants out.
        Cancel = "cancel",
        /// The order is canceled.
        Canceled = "canceled",
        /// The sender's wish to cancel waits for the other side.
        CooperativeCancelInitiatedByYou = "cooperative-cancel-initiated-by-you",
        /// The other side wishes to cancel.
        CooperativeCancelInitiatedByPeer = "cooperative-cancel-initiated-by-peer",
        /// The sender's dispute is open.
        DisputeInitiatedByYou = "dispute-initiated-by-you",
        /// The other side opened a dispute.
        DisputeInitiatedByPeer = "dispute-initiated-by-peer",
        /// Both sides agreed to cancel.
        CooperativeCancelAccepted = "cooperative-cancel-accepted",
        /// Part of no flow.
        BuyerInvoiceAccepted = "buyer-invoice-accepted",
        /// The invoice for a bond's share is noted.
        BondInvoiceAccepted = "bond-invoice-accepted",
        /// The buyer has been paid.
        PurchaseCompleted = "purchase-completed",
        /// The share of a slashed bond has been paid.
        BondPayoutCompleted = "bond-payout-completed",
        /// A bond was lost.
        BondSlashed = "bond-slashed",
        /// The escrow is funded; tells the buyer.
        HoldInvoicePaymentAccepted = "hold-invoice-payment-accepted",
        /// The escrow is settled; tells the seller.
        HoldInvoicePaymentSettled = "hold-invoice-payment-settled",
        /// The escrow went back to the seller.
        HoldInvoicePaymentCanceled = "hold-invoice-payment-canceled",
        /// The buyer hears that the seller must pay.
        WaitingSellerToPay = "waiting-seller-to-pay",
        /// The seller hears that the buyer must send an invoice.
        WaitingBuyerInvoice = "waiting-buyer-invoice",
        /// The buyer names where he is paid, or is asked to.
        AddInvoice = "add-invoice",
        /// The winner of a bond names where he is paid, or is asked to.
        AddBondInvoice = "add-bond-invoice",
        /// The escrow is funded; tells the seller.
        BuyerTookOrder = "buyer-took-order",
        /// A trader may rate the other.
        Rate = "rate",
        /// A trader rates the other.
        RateUser = "rate-user",
        /// The rating is noted.
        RateReceived = "rate-received",
        /// A refusal.
        CantDo = "cant-do",
        /// A trader asks for a solver.
        Dispute = "dispute",
        /// The solver gives the sats back to the seller.
        AdminCancel = "admin-cancel",
        /// The solver gave the sats back to the seller.
        AdminCanceled = "admin-canceled",
        /// The solver gives the sats to the buyer.
        AdminSettle = "admin-settle",
        /// The solver gave the sats to the buyer.
        AdminSettled = "admin-settled",
        /// The operator makes somebody a solver.
        AdminAddSolver = "admin-add-solver",
        /// A solver takes a dispute.
        AdminTakeDispute = "admin-take-dispute",
        /// A solver took the dispute.
        AdminTookDispute = "admin-took-dispute",
        /// A payment to the buyer failed.
        PaymentFailed = "payment-failed",
        /// The buyer's new invoice is noted.
        InvoiceUpdated = "invoice-updated",
        /// A plain text notice.
        SendDm = "send-dm",
        /// A trader moves an order to another trade key.
        TradePubkey = "trade-pubkey",
        /// Which orders and disputes an identity has.
        RestoreSession = "restore-session",
        /// The highest trade index of an identity.
        LastTradeIndex = "last-trade-index",
        /// The terms of orders, by id.
        Orders = "orders",
        /// The seller locks a Cashu token.
        AddCashuEscrow = "add-cashu-escrow",
        /// The Cashu token is locked.
        CashuEscrowLocked = "cashu-escrow-locked",
        /// The node's signatures over a Cashu token.
        CashuPmSignature = "cashu-pm-signature",
        /// The reputation of an identity.
        UserInfo = "user-info",
        /// The buyer declares a fiat payer.
        DeclarePayer = "declare-payer",
        /// The fiat payer is noted.
        PayerDeclared = "payer-declared",
        /// What is known of a fiat payer.
        PaymentHistory = "payment-history",
        /// A trader wants an attestation of his reputation.
        ExportReputation = "export-reputation",
        /// The attestation.
        ReputationExported = "reputation-exported",
        /// A trader brings an attestation of another node.
        ImportReputation = "import-reputation",
        /// The attestation is taken over.
        ReputationImported = "reputation-imported",
    }
}
