//! A transaction: conditions, and what is done if all of them hold or if one does not.

use super::error::EtcdError;
use super::proto::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse, compare, request_op, response_op,
};
use super::stored::Stored;

/// What must be true of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// The key is there and has this value.
    Is(Vec<u8>, Vec<u8>),
    /// There is no such key.
    Absent(Vec<u8>),
    /// The key is there and ends with this lease.
    Leased(Vec<u8>, i64),
}

/// What is done, or read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Sets a key; with a lease other than 0 it ends with that lease.
    Put {
        /// The key that is set.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
        /// The lease that it ends with; 0 for none.
        lease: i64,
    },
    /// Deletes one key.
    Delete(Vec<u8>),
    /// Deletes the keys from the first to the second, which stays.
    DeleteRange(Vec<u8>, Vec<u8>),
    /// Reads one key.
    Get(Vec<u8>),
}

impl Operation {
    /// Sets a key that no lease ends.
    pub fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self::Put { key, value, lease: 0 }
    }
}

/// A transaction. Repeating one whose conditions name what it changes is safe: it takes place once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transaction {
    /// All of these must hold,
    pub conditions: Vec<Condition>,
    /// then these are done in this order,
    pub then: Vec<Operation>,
    /// and else these.
    pub otherwise: Vec<Operation>,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionAnswer {
    /// Whether all conditions held.
    pub held: bool,
    /// etcd's revision behind it.
    pub revision: i64,
    /// What each `Get` of the branch that was taken read, in their order.
    pub read: Vec<Option<Stored>>,
}

impl From<Transaction> for TxnRequest {
    fn from(transaction: Transaction) -> Self {
        let operations = |list: Vec<Operation>| list.into_iter().map(RequestOp::from).collect();
        Self {
            compare: transaction.conditions.into_iter().map(Compare::from).collect(),
            success: operations(transaction.then),
            failure: operations(transaction.otherwise),
        }
    }
}

impl From<Condition> for Compare {
    fn from(condition: Condition) -> Self {
        use compare::{CompareResult, CompareTarget, TargetUnion};
        let (key, target, wanted) = match condition {
            Condition::Is(key, value) => (key, CompareTarget::Value, TargetUnion::Value(value)),
            // A key that is not there was created at revision 0.
            Condition::Absent(key) => (key, CompareTarget::Create, TargetUnion::CreateRevision(0)),
            Condition::Leased(key, lease) => (key, CompareTarget::Lease, TargetUnion::Lease(lease)),
        };
        Self {
            result: CompareResult::Equal.into(),
            target: target.into(),
            key,
            target_union: Some(wanted),
        }
    }
}

impl From<Operation> for RequestOp {
    fn from(operation: Operation) -> Self {
        use request_op::Request;
        let request = match operation {
            Operation::Put { key, value, lease } => {
                Request::RequestPut(PutRequest { key, value, lease })
            }
            Operation::Delete(key) => {
                Request::RequestDeleteRange(DeleteRangeRequest { key, range_end: Vec::new() })
            }
            Operation::DeleteRange(key, range_end) => {
                Request::RequestDeleteRange(DeleteRangeRequest { key, range_end })
            }
            Operation::Get(key) => {
                Request::RequestRange(RangeRequest { key, ..RangeRequest::default() })
            }
        };
        Self { request: Some(request) }
    }
}

impl TryFrom<TxnResponse> for TransactionAnswer {
    type Error = EtcdError;

    fn try_from(response: TxnResponse) -> Result<Self, EtcdError> {
        let header =
            response.header.ok_or(EtcdError::Unexpected("a transaction without a header"))?;
        let read =
            response.responses.into_iter().filter_map(|ResponseOp { response }| match response {
                Some(response_op::Response::ResponseRange(range)) => {
                    Some(range.kvs.into_iter().next().map(Stored::from))
                }
                _ => None,
            });
        Ok(Self { held: response.succeeded, revision: header.revision, read: read.collect() })
    }
}
