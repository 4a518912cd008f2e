package ui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/session"
)

// TestWaitsForToken holds that the readers are looked at again and again while
// a token is waited for, and that the screen goes on by itself.
func TestWaitsForToken(t *testing.T) {
	looks := []error{errors.New("no token is in a reader"), errors.New("token 7 is Bruno's"), nil}
	looked := 0
	s := newStage(t, inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		info, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "w", Question: "Insert the token A-01."},
			Look: func(context.Context) (keys.Info, error) {
				looked++
				return keys.Info{Serial: 20456123}, looks[looked-1]
			}})
		return info.FormFactor + "that", err
	}))))
	defer s.close()
	again := make(chan time.Time)
	s.m.attendant.after = func(time.Duration) <-chan time.Time { return again }
	s.m.room.token = "token 5" // it was there a moment ago
	s.begin()
	for _, shown := range []string{"no token is in a reader", "token 7 is Bruno's"} {
		s.until(shown, func() bool { return strings.Contains(s.m.View(), shown) })
		if s.m.room.token != "" {
			t.Errorf("%q in the header while %s", s.m.room.token, shown)
		}
		s.press("\n") // answers nothing
		again <- s.now
	}
	s.until("the end of the task", func() bool { return s.m.room.run == nil })
	if frame := s.m.View(); !strings.Contains(frame, "The answer was that.") || !strings.Contains(frame, "token 20 456 123") {
		t.Errorf("the token is not taken, or not in the header:\n%s", frame)
	}
}

// TestTokenIsWatched holds that a token that was found is looked at again while
// people answer, so that the header does not name one that was taken out, and
// not while it waits for a touch, when it is in use.
func TestTokenIsWatched(t *testing.T) {
	var looks atomic.Int32
	var there atomic.Bool
	there.Store(true)
	gaveUp := make(chan struct{})
	s := newStage(t, inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		_, err := a.WaitForToken(ctx, prompt.TokenWait{Look: func(context.Context) (keys.Info, error) {
			looks.Add(1)
			if !there.Load() {
				return keys.Info{}, errors.New("no token is in a reader")
			}
			return keys.Info{Serial: 20456123}, nil
		}})
		if err != nil {
			return "", err
		}
		if _, err := a.Ask(ctx, prompt.Prompt{ID: "a", Question: "What?"}, nil); err != nil {
			return "", err
		}
		touched, cancel := context.WithCancel(ctx)
		go func() { <-gaveUp; cancel() }()
		_ = a.WaitForTouch(touched, prompt.Prompt{ID: "t", Question: "Touch it."}, false)
		return "", keys.ErrRemoved
	}))))
	defer s.close()
	again := make(chan time.Time)
	s.m.attendant.after = func(time.Duration) <-chan time.Time { return again }
	s.begin()
	const token = "token 20 456 123"
	shown := func() bool { return strings.Contains(s.m.View(), token) }
	s.until("the token in the header", shown)
	there.Store(false)
	again <- s.now
	s.until("no token in the header", func() bool { return !shown() })
	there.Store(true)
	again <- s.now
	s.until("the token in the header again", shown)
	s.press("so\n")
	s.until("the wait for a touch", func() bool { return strings.Contains(s.m.View(), "Touch it.") })
	before := looks.Load()
	select {
	case again <- s.now:
		t.Error("the token is looked at while it is in use")
	case <-time.After(20 * time.Millisecond): // nobody waits for it
	}
	close(gaveUp)
	s.until("the end of the task", func() bool { return s.m.room.run == nil })
	if looks.Load() != before {
		t.Errorf("%d more looks", looks.Load()-before)
	}
	if shown() {
		t.Error("the header names a token that was pulled out")
	}
}

// What the header says of the cards in the readers.
func TestTokenText(t *testing.T) {
	good, other := keys.Info{Serial: 20456123}, keys.Info{Problem: "this is no YubiKey"}
	for _, c := range []struct {
		there []keys.Info
		want  string
	}{
		{nil, "no token"},
		{[]keys.Info{good}, "token 20 456 123"},
		{[]keys.Info{other}, "no usable token"},
		{[]keys.Info{other, good}, "token 20 456 123"},
		{[]keys.Info{good, {Serial: 7}}, "2 tokens"},
		{[]keys.Info{{}}, "several tokens"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if got := tokenText(c.there); got != c.want {
				t.Errorf("%+v: %q, want %q", c.there, got, c.want)
			}
		})
	}
}

// What is for when something went wrong is no part of how far a group is.
func TestAsideDoesNotCount(t *testing.T) {
	d := newDesk(nil)
	d.tasks[2].State = prompt.Done
	d.tasks = slices.Insert(d.tasks, 5, prompt.Task{ID: "restart", Group: "Holders", Title: "Start a holder over", State: prompt.Ready, Optional: true, Aside: true})
	s := newStage(t, inRoom(d))
	defer s.close()
	s.settle()
	s.says("Holders  1 of 3", true)
	s.says("Start a holder over", true)
}

// A failure that names its holder is not introduced by the name.
func TestNamedOnce(t *testing.T) {
	s := newStage(t, inRoom(newDesk(func(context.Context, prompt.Room) error {
		return errors.New("Alice Costa, sticker A-01: the token was pulled out")
	})))
	defer s.close()
	s.begin()
	s.settle()
	s.says("The task has stopped: Alice", true)
	s.says("Costa has stopped", false)
}

// TestReadersAreShared holds that the readers are never looked at for the
// header while a task runs.
func TestReadersAreShared(t *testing.T) {
	var looks atomic.Int32
	o := inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		return a.Ask(ctx, prompt.Prompt{ID: "a", Question: "What?"}, nil)
	})))
	o.Room.Tokens.Start = func(context.Context) (*session.Session, error) {
		looks.Add(1)
		return nil, errors.New("no reader")
	}
	s := newStage(t, o)
	defer s.close()
	s.settle()
	s.m.room.token = "token 7"
	s.update(pollMsg{s.m.room})
	s.until("a look between tasks", func() bool { return looks.Load() == 1 && s.m.room.token == "" })
	s.begin()
	s.update(pollMsg{s.m.room})
	s.update(readerMsg{s.m.room, "token 8"})
	if _, ok := <-started(s.m.room.lookAtReaders()); ok || looks.Load() != 1 || s.m.room.token != "" {
		t.Errorf("%d looks, and %q in the header, while a task runs", looks.Load(), s.m.room.token)
	}
	s.press("so\n")
	s.settle()
	s.update(pollMsg{s.m.room})
	s.until("a look after the task", func() bool { return looks.Load() == 2 })
}

// started runs a command to its end.
func started[M any](cmd func() M) <-chan struct{} {
	done := make(chan struct{})
	go func() { cmd(); close(done) }()
	return done
}
