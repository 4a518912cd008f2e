package virtual

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// What the reader says in a message of one byte. Anything longer is an APDU.
const (
	vpcdOff   = 0x00
	vpcdOn    = 0x01
	vpcdReset = 0x02
	vpcdATR   = 0x04
)

// ErrPulled: a fault pulled the card out of the reader.
var ErrPulled = errors.New("the card was pulled out, as planned")

// Plug puts the card into the vpcd reader at the other end of the connection,
// and returns when it is no longer there: nil when the reader has closed the
// connection, ErrPulled, or what went wrong. seen is called when the reader has
// noticed the card. A touch wait ends with the connection. Every message is a
// big-endian uint16 length and that many bytes; the reader speaks first.
func (c *Card) Plug(conn net.Conn, seen func()) error {
	defer conn.Close()
	defer c.PowerOff()
	pulled := make(chan struct{})
	c.applet.pulled = pulled
	messages := make(chan []byte)
	done := make(chan struct{})
	defer close(done)
	readErr := make(chan error, 1)
	go func() {
		readErr <- readMessages(conn, messages, done)
		close(pulled)
		close(messages)
	}()
	first := true
	for message := range messages {
		if first {
			seen()
			first = false
		}
		if err := c.answer(conn, message, pulled); err != nil {
			return err
		}
	}
	if err := <-readErr; err != io.EOF && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("virtual reader: %w", err)
	}
	return nil
}

// readMessages hands on what the reader says. Without TCP_QUICKACK, which the
// kernel forgets again and again, every exchange would wait 40 ms for the
// acknowledgement of a length that came in a segment of its own.
func readMessages(conn net.Conn, messages chan<- []byte, done <-chan struct{}) error {
	in := bufio.NewReader(quick{conn})
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		message := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(in, message); err != nil {
			return err
		}
		select {
		case messages <- message:
		case <-done:
			return net.ErrClosed
		}
	}
}

// quick is a connection that acknowledges at once.
type quick struct{ net.Conn }

func (q quick) Read(p []byte) (int, error) {
	if tcp, ok := q.Conn.(*net.TCPConn); ok {
		raw, err := tcp.SyscallConn()
		if err != nil {
			return 0, err
		}
		err = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // slower without
		})
		if err != nil {
			return 0, err
		}
	}
	return q.Conn.Read(p)
}

// answer carries out one message.
func (c *Card) answer(conn net.Conn, message []byte, pulled <-chan struct{}) error {
	switch {
	case len(message) == 0:
		return nil
	case len(message) > 1:
		response, err := c.faulty(message, pulled)
		clear(message) // it may hold a PIN
		if err != nil {
			return err
		}
		return say(conn, response)
	case message[0] == vpcdATR:
		return say(conn, atr)
	case message[0] == vpcdOff, message[0] == vpcdOn, message[0] == vpcdReset:
		c.PowerOff()
		return nil
	}
	return fmt.Errorf("virtual reader: it said %02x, which means nothing", message[0])
}

// faulty is Exchange with the faults that are planned.
func (c *Card) faulty(apdu []byte, pulled <-chan struct{}) ([]byte, error) {
	switch f := c.count(); f.kind {
	case faultRemove:
		return nil, ErrPulled
	case faultRemoveAfter:
		_, err := c.Exchange(apdu)
		return nil, errors.Join(ErrPulled, err)
	case faultStatus:
		return binary.BigEndian.AppendUint16(nil, uint16(f.sw)), nil
	case faultHang:
		<-pulled
		return nil, nil
	case faultEndless:
		c.endless = true
	default:
		c.endless = c.endless && apdu[1] == 0xc0 // GET RESPONSE
	}
	if c.endless {
		return append(make([]byte, 256), 0x61, 0x00), nil
	}
	return c.Exchange(apdu)
}

func say(conn net.Conn, body []byte) error {
	message := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	_, err := conn.Write(append(message, body...))
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil // the reader is gone, which the next read tells
	}
	return err
}
