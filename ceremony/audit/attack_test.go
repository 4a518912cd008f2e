package audit_test

import (
	"strings"
	"testing"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/state"
)

// Three enrolments are replaced by keys in software with invented proofs, which sign
// a root of their own: the fold takes all of it.
func TestThreeRootKeysSwapped(t *testing.T) {
	for name, evidence := range map[string]bool{"without evidence": false, "with the evidence of the tokens": true} {
		r := good(t, "create").copied(t)
		r.usurp(t, evidence, map[string]*software{"alice": newSoftware(t), "bruno": newSoftware(t), "chen": newSoftware(t)})
		if err := r.folds(t); err != nil {
			t.Errorf("%s: the fold refuses it: %v", name, err)
		}
		want := "no attestation of slot 9a is among its evidence"
		if evidence {
			want = "attestation of slot 9a: public key"
		}
		r.refused(t, "token: Alice Costa", "token: Bruno Ferraz", "token: Chen Wei", want, "root key: Alice Costa: it does not count", "root key: Chen Wei: it does not count",
			"root key: Dana Okafor: it does not count: Dana Okafor has not signed the log")
	}
}

// One key is enough to be refused.
func TestOneRootKeySwapped(t *testing.T) {
	for _, name := range []string{"create", "backups"} {
		r := good(t, name).copied(t)
		r.usurp(t, false, map[string]*software{"alice": newSoftware(t), "bruno": newSoftware(t), "chen": newSoftware(t), "dana": newSoftware(t), "emil": newSoftware(t)})
		r.refused(t, "root key: Emil Novak: it does not count")
	}
}

var _ = audit.OK
var _ = state.TypeBegun
var _ = strings.Contains
