//! L3: the bridge between an MQTT 5 broker and `control`.
