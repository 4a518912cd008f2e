// Package yubikey speaks to YubiKeys through pcscd, with piv-go: it is the one
// package with cgo, and without cgo it is empty. It runs in the child process
// of a session only (session.Serve), because what piv-go and the smart-card
// library cannot do happens when a process ends: a touch wait is cancelled, a
// reader is let go of, a PIN that became a string is gone.
//
// What piv-go does not tell (whether PIN, PUK and management key are the
// default, the tries of the PUK, the edition) is read over a connection of its
// own, for which the token is let go of for a moment.
//
// After a token was pulled out, the session is to be closed and a new one
// started: piv-go keeps a reader to itself when a token goes in the middle of
// being opened, and only the end of the process gives that back.
package yubikey

// Kind is the session.Backend kind of YubiKeys in the machine's readers.
const Kind = "pcsc"
