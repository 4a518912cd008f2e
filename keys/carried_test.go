package keys

import (
	"strings"
	"testing"
)

// The words of each kind, as python3 computes them:
//
//	hashlib.pbkdf2_hmac("sha256", b"value", b"rootceremony carried words 1: plan", 1<<20, 8)
func TestCarried(t *testing.T) {
	for kind, bytes := range map[CarriedKind][8]byte{
		CarriedEnrolment: {0xe2, 0x01, 0x4b, 0x40, 0xb0, 0xf1, 0x3a, 0x26},
		CarriedDraft:     {0x45, 0xcd, 0xb1, 0x83, 0x83, 0x02, 0xde, 0x1e},
		CarriedPlan:      {0x50, 0x1f, 0x5c, 0x6d, 0x92, 0x70, 0x78, 0x74},
		CarriedLog:       {0x96, 0xcb, 0x70, 0x67, 0xc6, 0xee, 0x94, 0x77},
	} {
		t.Run(string(kind), func(t *testing.T) {
			want := strings.Join(Words(bytes[:]), " ")
			for range 2 { // computed, and kept
				if got := Carried(kind, []byte("value")); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	if Carried(CarriedPlan, []byte("value")) == Carried(CarriedPlan, []byte("other")) {
		t.Error("two values have the same words")
	}
}
