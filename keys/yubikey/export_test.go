//go:build cgo

package yubikey

// Patience is for how long all cards together are looked at.
var Patience = &patience
