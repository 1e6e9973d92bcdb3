//! What the services are, for clients that ask the server, in both versions of that question.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

/// Adds the services that describe the others.
pub fn add_to(routes: Routes) -> Routes {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(proto::v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(present), Ok(former)) => routes.add_service(present).add_service(former),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "clients cannot ask what the gRPC services are");
            routes
        }
    }
}
