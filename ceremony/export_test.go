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
