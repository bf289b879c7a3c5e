//! Makes a scenario's folder from what happens with real nodes.
