//! L2: what a selective forwarding unit decides: routes, layers, sequence numbers, speakers. Pure.
