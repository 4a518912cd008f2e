package prompt

import "context"

// Label names a task outside the list: "Sign: Alice Costa".
func (t Task) Label() string {
	if t.Group == "" || t.Group == GroupEnd {
		return t.Title
	}
	return t.Group + ": " + t.Title
}

// TaskState says whether a task can be taken.
type TaskState string

// The states of a task.
const (
	Done    TaskState = "done"
	Ready   TaskState = "ready"
	Blocked TaskState = "blocked"
)

// Task is one step of the day, as people see it.
type Task struct {
	ID       string    `json:"id"`    // stable: "enrol alice"
	Group    string    `json:"group"` // tasks that stand together: "Holders"
	Title    string    `json:"title"` // what is to do: "Check the laptop"
	State    TaskState `json:"state"`
	Reason   string    `json:"reason,omitempty"`   // why it is blocked, or what is done of it
	Optional bool      `json:"optional,omitempty"` // the ceremony can end without it
	Aside    bool      `json:"aside,omitempty"`    // for when something went wrong: never next

	Do func(context.Context, Room) error `json:"-"`
}

const (
	GroupHolders    = "Holders"
	GroupRecipients = "Recipients"
	GroupKeys       = "Keys"
	GroupBackups    = "Backups"
	GroupEnd        = "At the end"

	// GroupSign are the tasks in which holders sign.
	GroupSign = "Sign"
)

// Block turns a task that is not done into one that waits.
func (t *Task) Block(reason string) {
	if t.State != Done {
		t.State, t.Reason = Blocked, reason
	}
}

// Desk is a list of tasks that people do one by one: a ceremony, a plan that is
// to be written, a signature on a file.
type Desk interface {
	Tasks() []Task
	// Next is the task to offer; false when nothing that is needed is left.
	Next() (Task, bool)
	// Run does a task with the people in the room.
	Run(ctx context.Context, id string, a Room) error
	Header() string // one line: "Example packages, create root v1"
	Alarm() string  // a second line of the header; "": there is no alarm
}

// NobodyElse ends a list of holders; no holder's id is a dot.
const NobodyElse = "."
