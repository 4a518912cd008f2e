//go:build cgo

package main

import (
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey"
)

// smartCards reports whether this build speaks to real tokens.
const smartCards = true

// openTokens finds the tokens that a session is to speak to.
func openTokens(b session.Backend) (session.Opener, error) {
	if b.Kind == yubikey.Kind {
		return yubikey.Open(b)
	}
	return virtual.Open(b)
}
