//! Identities that trade with reputation.

use escrow_core::party::IdentityKey;
use escrow_core::user::User;

use super::error::StorageError;
use super::page::Page;
use super::record::Record;
use super::table::Table;
use super::view::View;

impl Record for User {}

impl View {
    /// What is kept of an identity.
    pub fn user(&self, identity: IdentityKey) -> Result<Option<User>, StorageError> {
        self.record(Table::Users, &identity)
    }
}

impl Page<'_> {
    /// Writes what is kept of an identity.
    pub fn put_user(&mut self, identity: IdentityKey, user: &User) -> Result<(), StorageError> {
        self.put_record(Table::Users, &identity, user)
    }
}
