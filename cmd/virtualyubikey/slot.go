package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"rootceremony/keys/virtual"
)

// redial is how long a reader that is not there is left alone.
const redial = 50 * time.Millisecond

// slot keeps a card in a reader, also when the reader goes and comes back, for
// as long as it is plugged.
type slot struct {
	card *virtual.Card
	addr string
	say  func(string)

	mu      sync.Mutex
	changed chan struct{} // a new one for each change
	plugged bool
	conn    net.Conn // nil: not in the reader
	seen    bool     // the reader has noticed the card
}

func newSlot(card *virtual.Card, addr string, say func(string)) *slot {
	return &slot{card: card, addr: addr, say: say, changed: make(chan struct{})}
}

// set plugs the card in or pulls it out, and returns when that is done and the
// reader has noticed the card.
func (s *slot) set(plugged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plugged = plugged
	if !plugged && s.conn != nil {
		_ = s.conn.Close()
	}
	s.wake()
	for s.plugged == plugged && s.seen != plugged {
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
}

// wake tells everybody who waits that something changed. mu is held.
func (s *slot) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// status is one line about the card.
func (s *slot) status() string {
	s.mu.Lock()
	where := "unplugged"
	if s.seen {
		where = "plugged"
	}
	s.mu.Unlock()
	line := fmt.Sprintf("serial %d %s commands %d wrong %d", s.card.Serial(), where, s.card.APDUs(), s.card.Wrong())
	if s.card.Waiting() {
		line += " waits for a touch"
	}
	return line
}

// run serves the reader until the context is done.
func (s *slot) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != nil {
			_ = s.conn.Close()
		}
	})
	defer stop()
	said := ""
	for ctx.Err() == nil {
		s.mu.Lock()
		plugged, changed := s.plugged, s.changed
		s.mu.Unlock()
		if !plugged {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		if err != nil {
			if text := err.Error(); ctx.Err() == nil && text != said {
				s.say(fmt.Sprintf("no reader, which is waited for: %v", err))
				said = text
			}
			select {
			case <-time.After(redial):
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if !s.took(ctx, conn) {
			continue
		}
		err = s.card.Plug(conn, s.noticed)
		s.mu.Lock()
		s.conn, s.seen = nil, false
		if err != nil {
			s.plugged = false
		}
		s.wake()
		s.mu.Unlock()
		if err != nil {
			s.say(err.Error())
			if !errors.Is(err, virtual.ErrPulled) && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil
}

// noticed says that the reader has noticed the card.
func (s *slot) noticed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = true
	s.wake()
}

// took notes the connection, unless the card was pulled out meanwhile or the
// program ends.
func (s *slot) took(ctx context.Context, conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.plugged || ctx.Err() != nil {
		_ = conn.Close()
		return false
	}
	s.conn = conn
	s.wake()
	return true
}
