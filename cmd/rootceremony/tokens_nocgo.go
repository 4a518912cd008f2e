//go:build !cgo

package main

import (
	"errors"

	"rootceremony/keys"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey"
)

// openTokens finds the tokens that a session is to speak to.
func openTokens(b keys.Backend) (keys.Opener, error) {
	if b.Kind == yubikey.Kind {
		return nil, errors.New("this build has no smart cards (hint: build it with cgo and libpcsclite-dev)")
	}
	return virtual.Open(b)
}
