//! OTP supervision for actix.
