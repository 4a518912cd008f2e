package keys

// Pid is the process id of the session's child.
func (s *Session) Pid() int { return s.cmd.Process.Pid }

// Kill kills the child behind the session's back.
func (s *Session) Kill() error { return s.cmd.Process.Kill() }

// Ended is closed when the child is gone.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// The wire, for tests of what crosses it.
var (
	ReadHeader = readHeader
	WriteFrame = writeFrame
)

// Frame types.
const (
	FrameRequest = frameRequest
	FrameSecret  = frameSecret
	FrameTouched = frameTouched
	FrameAnswer  = frameAnswer
	FrameEvent   = frameEvent
)

// OverWire returns an error as the parent of a child that had it sees it.
func OverWire(err error) error { return toWire(err).typed() }
