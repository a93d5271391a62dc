//! Why a command is refused.

use super::words::words;

words! {
    /// A fair refusal, told to the sender.
    ///
    /// The first group every client reads. The second (from
    /// [`CantDo::InvalidPayload`] on) the mobile client does not know: where one
    /// of the first is equally true, it is the better answer. The third is
    /// [`CantDo::MaintenanceMode`]. The rest belongs to actions that only
    /// clients of that age send.
    CantDo {
        /// A signature inside the envelope is wrong or missing.
        InvalidSignature = "invalid_signature",
        /// The trade index is missing, used, or out of bounds.
        InvalidTradeIndex = "invalid_trade_index",
        /// An amount contradicts itself or is out of bounds.
        InvalidAmount = "invalid_amount",
        /// The invoice or address cannot be paid.
        InvalidInvoice = "invalid_invoice",
        /// The payment request is not usable.
        InvalidPaymentRequest = "invalid_payment_request",
        /// The sender plays another part in the trade.
        InvalidPeer = "invalid_peer",
        /// The rating is out of bounds or given already.
        InvalidRating = "invalid_rating",
        /// The text is not what the action needs.
        InvalidTextMessage = "invalid_text_message",
        /// The kind of the order does not fit the action.
        InvalidOrderKind = "invalid_order_kind",
        /// The order is not where the action needs it.
        InvalidOrderStatus = "invalid_order_status",
        /// The key is not one that may do this.
        InvalidPubkey = "invalid_pubkey",
        /// The message cannot be read or makes no sense.
        InvalidParameters = "invalid_parameters",
        /// The order is canceled already.
        OrderAlreadyCanceled = "order_already_canceled",
        /// The user cannot be registered.
        CantCreateUser = "cant_create_user",
        /// The order belongs to somebody else.
        IsNotYourOrder = "is_not_your_order",
        /// The status of the order does not allow this.
        NotAllowedByStatus = "not_allowed_by_status",
        /// The fiat amount is out of bounds.
        OutOfRangeFiatAmount = "out_of_range_fiat_amount",
        /// The sats amount, or the chosen part of a range, is out of bounds.
        OutOfRangeSatsAmount = "out_of_range_sats_amount",
        /// Another solver has this dispute.
        IsNotYourDispute = "is_not_your_dispute",
        /// The dispute cannot be opened.
        DisputeCreationError = "dispute_creation_error",
        /// There is no such order or dispute.
        NotFound = "not_found",
        /// The dispute is not where the action needs it.
        InvalidDisputeStatus = "invalid_dispute_status",
        /// The node does not do this.
        InvalidAction = "invalid_action",
        /// The sender has an unfinished take.
        PendingOrderExists = "pending_order_exists",
        /// The node does not trade this currency.
        InvalidFiatCurrency = "invalid_fiat_currency",
        /// Not possible for the moment; try later.
        TooManyRequests = "too_many_requests",

        /// The payload asks for what cannot be.
        InvalidPayload = "invalid_payload",
        /// There is no fresh price.
        PriceTooStale = "price_too_stale",
        /// An admin has taken the dispute.
        DisputeTakenByAdmin = "dispute_taken_by_admin",
        /// The sender lacks the right.
        NotAuthorized = "not_authorized",
        /// The Cashu token is not usable.
        InvalidCashuToken = "invalid_cashu_token",
        /// The Cashu mint does not answer.
        CashuMintUnavailable = "cashu_mint_unavailable",
        /// The Cashu mint is not one of ours.
        InvalidMintUrl = "invalid_mint_url",
        /// No Cashu token is locked.
        CashuEscrowNotLocked = "cashu_escrow_not_locked",
        /// A Cashu signature is missing.
        CashuSignatureMissing = "cashu_signature_missing",

        /// The operator takes no new trades for now.
        MaintenanceMode = "maintenance_mode",

        /// The payer's hash is not one.
        InvalidPaymentHash = "invalid_payment_hash",
        /// The payer has not been declared.
        PayerNotDeclared = "payer_not_declared",
        /// Full privacy has no reputation to carry.
        ReputationIdentityRequired = "reputation_identity_required",
        /// Too little reputation to export.
        NotEligibleForReputationExport = "not_eligible_for_reputation_export",
        /// The reputation went to another identity.
        ReputationBoundToOtherIdentity = "reputation_bound_to_other_identity",
        /// The rebind is not valid.
        InvalidReputationRebind = "invalid_reputation_rebind",
        /// The attestation is not valid.
        InvalidReputationAttestation = "invalid_reputation_attestation",
        /// The attestation is by a node we do not trust.
        UntrustedReputationIssuer = "untrusted_reputation_issuer",
        /// The attestation is too old.
        ExpiredReputationAttestation = "expired_reputation_attestation",
        /// The attestation is for another identity.
        ReputationIdentityMismatch = "reputation_identity_mismatch",
        /// The attestation was taken over before.
        ReputationAlreadyImported = "reputation_already_imported",
    }
}
