package keys_test

import (
	"strings"
	"testing"

	"rootceremony/keys"
)

func TestAdvisories(t *testing.T) {
	for _, c := range []struct {
		firmware  keys.Firmware
		algorithm keys.Algorithm
		want      string // ids
	}{
		{keys.Firmware{Major: 4, Minor: 3, Patch: 7}, keys.P256, "YSA-2024-03"},
		{keys.Firmware{Major: 4, Minor: 4, Patch: 2}, keys.P384, "YSA-2024-03 YSA-2019-02"},
		{keys.Firmware{Major: 4, Minor: 4, Patch: 5}, keys.P256, "YSA-2024-03"},
		{keys.Firmware{Major: 5, Minor: 4, Patch: 3}, keys.P256, "YSA-2024-03"},
		{keys.Firmware{Major: 5, Minor: 6, Patch: 4}, keys.P256, "YSA-2024-03"},
		{keys.Firmware{Major: 5, Minor: 7}, keys.P256, ""},
		{keys.Firmware{Major: 5, Minor: 7, Patch: 4}, keys.Ed25519, ""},
		{keys.Firmware{Major: 5, Minor: 4, Patch: 3}, keys.Ed25519, ""},
	} {
		var ids []string
		for _, a := range keys.Advisories(c.firmware, c.algorithm) {
			ids = append(ids, a.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.firmware, c.algorithm, got, c.want)
		}
	}
	i := keys.Info{Firmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3}, Keys: []keys.SlotKey{{Slot: keys.SlotAge, Public: keys.PublicKey{Algorithm: keys.P256}}}}
	if len(i.Advisories()) > 0 {
		t.Error("a key that only decrypts")
	}
	i.Keys = append(i.Keys, keys.SlotKey{Slot: keys.SlotRoot, Public: keys.PublicKey{Algorithm: keys.P256}}, keys.SlotKey{Slot: keys.SlotAuthentication, Public: keys.PublicKey{Algorithm: keys.P256}})
	if len(i.Advisories()) != 1 {
		t.Errorf("%v", i.Advisories())
	}
}
