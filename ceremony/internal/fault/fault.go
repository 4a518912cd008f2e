// Package fault is where tests stand between package disk and the system, to let
// what happens to files fail, stop, or be written down. The programs leave it alone.
package fault

// Op is one operation that changes files, or makes a change durable.
type Op struct {
	Kind   Kind
	Path   string
	From   string // of Rename and Replace: what Path was called
	Bytes  []byte // of Write
	Offset int64  // of Write and KeepRoom: where it begins; of Cut: how long the file is after it
}

// Kind is what an operation does.
type Kind string

const (
	Open       Kind = "open" // for writing; the file may be made by it
	Create     Kind = "create"
	Write      Kind = "write"
	Cut        Kind = "cut"
	KeepRoom   Kind = "keep room"
	Sync       Kind = "sync"
	SyncFolder Kind = "sync folder"
	MakeFolder Kind = "make folder"
	Rename     Kind = "rename" // replaces nothing
	Replace    Kind = "replace"
	Remove     Kind = "remove"
)

// Between is given every operation, and act, which does it. It returns act's error, or
// its own with nothing done, as the system would: also unix.EINTR, after which the
// operation comes again. It may shorten op.Bytes before act: a short write. Operations
// of several goroutines come at once.
var Between = func(op *Op, act func() error) error { return act() }
