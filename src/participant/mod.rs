//! L3: joins a room as the box: connection state machine, publisher, subscriber.
