package virtual

import (
	"time"

	"rootceremony/keys"
)

// Button is how a virtual token's button behaves: one of the constants below,
// or for how long it waits before it is touched, such as "1.5s".
type Button string

// Buttons. The zero value is ButtonWaits.
const (
	ButtonWaits Button = ""     // waits for Touched
	ButtonAuto  Button = "auto" // touched as soon as it waits
	ButtonDead  Button = "dead" // waits in vain, whatever is touched
)

// Known reports whether b is a button.
func (b Button) Known() bool {
	_, timed := b.delay()
	return timed || b == ButtonWaits || b == ButtonDead
}

// delay is after what time the button is touched by itself.
func (b Button) delay() (time.Duration, bool) {
	if b == ButtonAuto {
		return 0, true
	}
	d, err := time.ParseDuration(string(b))
	return d, err == nil && d >= 0
}

// wantsTouch reports whether the next use of the key waits for a touch.
func (a *applet) wantsTouch(k *slot) bool {
	switch k.Policy.Touch {
	case keys.TouchAlways:
		return true
	case keys.TouchCached:
		return a.touchedAt.IsZero() || a.now().Sub(a.touchedAt) >= touchCache
	}
	return false
}

// arm makes the applet take the next Touched, also when it comes before the
// command that waits for it was given.
func (a *applet) arm() chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pressed == nil {
		a.pressed = make(chan struct{}, 1)
	}
	return a.pressed
}

func (a *applet) disarm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pressed = nil
}

// Touched touches the button. Nothing happens unless the applet waits for it.
// It may be called from any goroutine.
func (a *applet) Touched() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pressed == nil || a.button == ButtonDead {
		return
	}
	select {
	case a.pressed <- struct{}{}:
	default: // touched already
	}
}

// Waiting reports whether the applet waits for a touch. It may be called from
// any goroutine.
func (a *applet) Waiting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pressed != nil
}

// waitForTouch reports whether the button was touched in time.
func (a *applet) waitForTouch() bool {
	pressed := a.arm()
	defer a.disarm()
	var itself <-chan time.Time
	delay, timed := a.button.delay()
	if timed && delay > 0 {
		itself = a.after(delay)
	}
	if !timed || delay > 0 {
		select {
		case <-pressed:
		case <-itself:
		case <-a.after(a.wait):
			return false
		case <-a.pulled:
			return false
		}
	}
	a.touchedAt = a.now()
	return true
}
