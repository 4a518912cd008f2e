package keys

import (
	"fmt"
	"slices"
)

// Advisory is a hole in tokens that their maker has published, of the kind that
// concerns root keys.
type Advisory struct {
	ID         string
	From, To   Firmware // the first and the last firmware that has it; patch 999: all of that minor version
	Algorithms []Algorithm
	Text       string // what follows from it, a sentence
}

// advisories are those of Yubico about keys that sign. YSA-2017-01 is about RSA keys
// made on the token, which no ceremony makes or signs with.
var advisories = []Advisory{
	{"YSA-2024-03", Firmware{}, Firmware{5, 6, 999}, []Algorithm{P256, P384},
		"anyone who has the token, its PIN and a laboratory can take ECDSA keys out of it: count a lost token as a stolen key"},
	{"YSA-2019-02", Firmware{4, 4, 2}, Firmware{4, 4, 4}, []Algorithm{P256, P384},
		"the first ECDSA signatures after it is plugged in tell part of the key: count the key as compromised"},
}

// Advisories returns what is published about keys of an algorithm that sign on a
// token with that firmware.
func Advisories(firmware Firmware, algorithm Algorithm) []Advisory {
	var found []Advisory
	for _, a := range advisories {
		if !firmware.Less(a.From) && !a.To.Less(firmware) && slices.Contains(a.Algorithms, algorithm) {
			found = append(found, a)
		}
	}
	return found
}

func (a Advisory) String() string { return fmt.Sprintf("%s: %s", a.ID, a.Text) }

// Advisories returns what is published about the keys that sign on the token, and
// about those of the algorithms that are yet to be made there. Slot 82 only decrypts.
func (i Info) Advisories(toMake ...Algorithm) []Advisory {
	for _, k := range i.Keys {
		if k.Slot != SlotAge {
			toMake = append(toMake, k.Public.Algorithm)
		}
	}
	var found []Advisory
	for _, algorithm := range toMake {
		for _, a := range Advisories(i.Firmware, algorithm) {
			if !slices.ContainsFunc(found, func(b Advisory) bool { return b.ID == a.ID }) {
				found = append(found, a)
			}
		}
	}
	return found
}
