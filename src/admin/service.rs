//! The methods of the admin service.

use escrow_core::dispute::DisputeId;
use escrow_core::order::OrderId;
use escrow_core::wire::info_event::COMPATIBLE_VERSION;
use escrow_engine::{EscrowHandle, LightningHealth};
use storage::ledger::View;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::proto::admin_service_server::AdminService;
use super::proto::{
    AddSolverRequest, AddSolverResponse, CancelOrderRequest, CancelOrderResponse, DrainCounters,
    GetMaintenanceStatusRequest, GetMaintenanceStatusResponse, GetVersionRequest,
    GetVersionResponse, RebindReputationExportRequest, RebindReputationExportResponse,
    RevokeReputationImportsRequest, RevokeReputationImportsResponse, SetMaintenanceModeRequest,
    SetMaintenanceModeResponse, SettleOrderRequest, SettleOrderResponse, TakeDisputeRequest,
    TakeDisputeResponse, ValidateDbPasswordRequest, ValidateDbPasswordResponse,
};
use super::turnstile::{Need, Turnstile};
use crate::operator::{self, Act, Rest, Unwilling};

/// What methods answer whose feature is not there.
const NOT_SUPPORTED: &str = "not supported by this node";

/// The service behind its turnstile.
pub(super) struct Service {
    escrow: EscrowHandle,
    turnstile: Turnstile,
}

type Answer<T> = Result<Response<T>, Status>;

/// Whether it was done, and what is said if not.
type Outcome = (bool, Option<String>);

impl Service {
    pub(super) fn new(escrow: EscrowHandle, turnstile: Turnstile) -> Service {
        Service { escrow, turnstile }
    }

    /// Does what was read from a request, once its sender is let through.
    async fn act<T>(
        &self,
        request: Request<T>,
        need: Need,
        reading: impl FnOnce(T) -> Result<Act, Unwilling>,
    ) -> Result<Outcome, Status> {
        self.turnstile.admit(&request, need)?;
        let done = match reading(request.into_inner()) {
            Ok(act) => operator::act(&self.escrow, act).await,
            Err(why) => Err(why),
        };
        Ok(match done {
            Ok(()) => (true, None),
            Err(why) => (false, Some(why.to_string())),
        })
    }

    fn node_pubkey(&self) -> String {
        match &*self.escrow.lightning().borrow() {
            LightningHealth::Reachable(info) => info.pubkey.clone(),
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => String::new(),
        }
    }
}

#[async_trait]
impl AdminService for Service {
    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Answer<CancelOrderResponse> {
        let outcome = self.act(request, Need::Token, |asked| {
            Ok(Act::Cancel {
                order: OrderId(id(&asked.order_id)?),
                pretrade_only: asked.pretrade_only(),
            })
        });
        let (success, error_message) = outcome.await?;
        Ok(Response::new(CancelOrderResponse {
            success,
            error_message,
        }))
    }

    async fn settle_order(
        &self,
        request: Request<SettleOrderRequest>,
    ) -> Answer<SettleOrderResponse> {
        let outcome = self.act(request, Need::Token, |asked| {
            Ok(Act::Settle(OrderId(id(&asked.order_id)?)))
        });
        let (success, error_message) = outcome.await?;
        Ok(Response::new(SettleOrderResponse {
            success,
            error_message,
        }))
    }

    async fn add_solver(&self, request: Request<AddSolverRequest>) -> Answer<AddSolverResponse> {
        let outcome = self.act(request, Need::Token, |asked| {
            Ok(Act::AddSolver(asked.solver_pubkey))
        });
        let (success, error_message) = outcome.await?;
        Ok(Response::new(AddSolverResponse {
            success,
            error_message,
        }))
    }

    async fn take_dispute(
        &self,
        request: Request<TakeDisputeRequest>,
    ) -> Answer<TakeDisputeResponse> {
        let outcome = self.act(request, Need::Token, |asked| {
            Ok(Act::TakeDispute(DisputeId(id(&asked.dispute_id)?)))
        });
        let (success, error_message) = outcome.await?;
        Ok(Response::new(TakeDisputeResponse {
            success,
            error_message,
        }))
    }

    async fn validate_db_password(
        &self,
        request: Request<ValidateDbPasswordRequest>,
    ) -> Answer<ValidateDbPasswordResponse> {
        self.turnstile.admit(&request, Need::FewGuesses)?;
        Ok(Response::new(ValidateDbPasswordResponse {
            success: true,
            error_message: None,
        }))
    }

    async fn get_version(&self, request: Request<GetVersionRequest>) -> Answer<GetVersionResponse> {
        self.turnstile.admit(&request, Need::Nothing)?;
        let own = env!("CARGO_PKG_VERSION");
        Ok(Response::new(GetVersionResponse {
            version: format!("{COMPATIBLE_VERSION}+mostro-relay.{own}"),
        }))
    }

    async fn set_maintenance_mode(
        &self,
        request: Request<SetMaintenanceModeRequest>,
    ) -> Answer<SetMaintenanceModeResponse> {
        let outcome = self.act(request, Need::TokenHere, |asked| {
            Ok(Act::Maintenance {
                enabled: asked.enabled,
                reason: asked.reason,
            })
        });
        let (success, error_message) = outcome.await?;
        Ok(Response::new(SetMaintenanceModeResponse {
            success,
            error_message,
        }))
    }

    async fn get_maintenance_status(
        &self,
        request: Request<GetMaintenanceStatusRequest>,
    ) -> Answer<GetMaintenanceStatusResponse> {
        self.turnstile.admit(&request, Need::Nothing)?;
        let both = |view: &View| Ok((Rest::of_ledger(view)?, view.lightning_node()?));
        let both = operator::read(&self.escrow, both).await;
        let (rest, stored) = both.map_err(|why| Status::internal(why.to_string()))?;
        let drained = rest.is_drained();
        let since = rest.maintenance.as_ref();
        let since = since.and_then(|present| i64::try_from(present.since.0).ok());
        Ok(Response::new(GetMaintenanceStatusResponse {
            enabled: rest.maintenance.is_some(),
            since,
            reason: rest.maintenance.and_then(|present| present.reason),
            counters: Some(DrainCounters {
                escrowed_orders: rest.escrowed_orders,
                inflight_payouts: rest.inflight_payouts,
                inflight_dev_fees: rest.inflight_dev_fees,
                pending_orders: rest.pending_orders,
                ..DrainCounters::default()
            }),
            drained,
            ln_node_pubkey: self.node_pubkey(),
            stored_ln_node_pubkey: stored.map(|node| node.pubkey),
        }))
    }

    async fn revoke_reputation_imports(
        &self,
        request: Request<RevokeReputationImportsRequest>,
    ) -> Answer<RevokeReputationImportsResponse> {
        self.turnstile.admit(&request, Need::TokenHere)?;
        Ok(Response::new(RevokeReputationImportsResponse {
            success: false,
            error_message: Some(NOT_SUPPORTED.into()),
            revoked: 0,
        }))
    }

    async fn rebind_reputation_export(
        &self,
        request: Request<RebindReputationExportRequest>,
    ) -> Answer<RebindReputationExportResponse> {
        self.turnstile.admit(&request, Need::TokenHere)?;
        Ok(Response::new(RebindReputationExportResponse {
            success: false,
            error_message: Some(NOT_SUPPORTED.into()),
            previous_identity: None,
        }))
    }
}

fn id(text: &str) -> Result<Uuid, Unwilling> {
    let id = Uuid::parse_str(text.trim());
    id.map_err(|_| Unwilling::Unfit("the id is no UUID".into()))
}
