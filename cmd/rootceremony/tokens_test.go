package main

import (
	"strings"
	"testing"

	"rootceremony/keys/session"
)

// The programs are built without cgo for the tests, and say what that means.
func TestNoSmartCardsWithoutCgo(t *testing.T) {
	s, err := session.Program{Path: program("rootceremony"), Args: []string{sessionArgument}}.Start(t.Context(), session.Backend{Kind: "pcsc"})
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "this build has no smart cards") {
		t.Errorf("%v", err)
	}
}
