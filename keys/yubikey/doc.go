// Package yubikey speaks to YubiKeys through pcscd, with piv-go: it is the one
// package with cgo, and without cgo it is empty. It runs in the child process
// of a session only (keys.Serve), because what piv-go and the smart-card
// library cannot do happens when a process ends: a touch wait is cancelled, a
// reader is let go of, a PIN that became a string is gone.
//
// What piv-go does not tell (whether PIN, PUK and management key are the
// default, the tries of the PUK, the edition) is read over a connection of its
// own, for which the token is let go of for a moment.
package yubikey

// Kind is the keys.Backend kind of YubiKeys in the machine's readers.
const Kind = "pcsc"
