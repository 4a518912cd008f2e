package ceremony

import (
	"errors"
	"testing"
)

// OldKernel has no numbers of mounts that are given out once, until the test
// ends.
func OldKernel(t testing.TB) {
	now := mountOf
	mountOf = func(string) (uint64, error) { return 0, errors.ErrUnsupported }
	t.Cleanup(func() { mountOf = now })
}

// RehearsalPIN is the PIN that a scripted holder has.
func RehearsalPIN(holder string) string { return rehearsalPIN(holder) }

// Newcomer is who comes when what that plan has made is rotated.
func Newcomer(r *Resolved, stickers []string) Holder { return r.newcomer(stickers) }
