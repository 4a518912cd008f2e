// Package secret holds PINs, PUKs, management keys and seeds.
//
// A Buffer lives in memory of its own that is locked (never swapped), left
// out of core dumps, and wiped when it is no longer needed. It cannot be
// printed: every verb of fmt, and every encoder that asks the value for its
// text, gets the word "secret" or an error.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
)

// madvDontDump is MADV_DONTDUMP of madvise(2), which package syscall lacks.
const madvDontDump = 0x10

// Buffer is a secret of fixed length. The zero value is not usable; make one
// with New or Take. A nil *Buffer is an empty secret.
type Buffer struct {
	page []byte // whole pages: what is locked and unmapped
	data []byte // the first Len bytes of page
}

// New returns a Buffer of n zero bytes. Where the system refuses to lock
// memory (RLIMIT_MEMLOCK), the error says so and no Buffer is made.
func New(n int) (*Buffer, error) {
	size := os.Getpagesize()
	size *= 1 + n/size
	page, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("secret memory: %w", err)
	}
	if err := syscall.Mlock(page); err != nil {
		_ = syscall.Munmap(page)
		return nil, fmt.Errorf("secret memory cannot be locked: %w (hint: raise the limit with ulimit -l)", err)
	}
	_ = syscall.Madvise(page, madvDontDump)
	b := &Buffer{page: page, data: page[:n:n]}
	runtime.SetFinalizer(b, (*Buffer).Wipe)
	return b, nil
}

// Take moves p into a new Buffer: the bytes are copied and p is wiped, also
// when Take fails.
func Take(p []byte) (*Buffer, error) {
	defer clear(p)
	b, err := New(len(p))
	if err != nil {
		return nil, err
	}
	copy(b.data, p)
	return b, nil
}

// Read returns a Buffer of the n bytes that r gives next.
func Read(r io.Reader, n int) (*Buffer, error) {
	b, err := New(n)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, b.data); err != nil {
		b.Wipe()
		return nil, err
	}
	return b, nil
}

// Bytes is the secret itself, valid until Wipe. Callers do not keep it.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.data
}

// Len is the secret's length in bytes.
func (b *Buffer) Len() int { return len(b.Bytes()) }

// Equal compares two secrets in constant time.
func Equal(a, b *Buffer) bool {
	return subtle.ConstantTimeCompare(a.Bytes(), b.Bytes()) == 1
}

// Wipe overwrites the secret and gives its memory back. It may be called
// again, and on nil.
func (b *Buffer) Wipe() {
	if b == nil || b.page == nil {
		return
	}
	clear(b.page)
	_ = syscall.Munlock(b.page)
	_ = syscall.Munmap(b.page)
	b.page, b.data = nil, nil
	runtime.SetFinalizer(b, nil)
}

// String, Format and the marshalers keep a secret out of texts by accident.
func (b *Buffer) String() string { return "secret" }

// Format prints the word "secret", whatever the verb.
func (b *Buffer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret") }

// MarshalText refuses, so that no encoder writes a secret.
func (b *Buffer) MarshalText() ([]byte, error) {
	return nil, errors.New("a secret cannot be encoded")
}
