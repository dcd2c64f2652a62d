package listen

import (
	"errors"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// The forms of a replay.
const (
	replaySame  = "same"  // the same bytes and headers
	replayFresh = "fresh" // signed again with the current time
)

var (
	errMode      = errors.New(`mode must be "same" or "fresh"`)
	errNoForward = errors.New("start the command with -forward URL to replay deliveries")
	errGone      = errors.New("the delivery has been forgotten")
	errRefused   = errors.New("a delivery that was not accepted is not replayed: the program would get what nobody has verified")
	errScheme    = errors.New("a dynamic delivery cannot be signed again: only Google has the key")
	errNoSigner  = errors.New("set GEMINI_WEBHOOK_SECRET to sign deliveries again")
	errBusy      = errors.New("too many requests are in progress")
)

// replay sends an attempt to the local program again and keeps the result as
// another attempt. Only genuine deliveries are replayed. A dynamic one is never
// signed as a static one, because that would claim that it is about the user's
// own project.
func (rc *receiver) replay(number int64, mode, cursor string) (result, error) {
	var g *group
	var from *attempt
	rc.store.with(number, func(found *group) { g, from = found, found.attempt(cursor) })
	switch {
	case mode != replaySame && mode != replayFresh:
		return result{}, errMode
	case rc.forward == nil:
		return result{}, errNoForward
	case g == nil:
		return result{}, errGone
	case !g.genuine:
		return result{}, errRefused
	case mode == replayFresh && g.proof.Scheme != geminihook.SchemeHMAC:
		return result{}, errScheme
	case mode == replayFresh && len(rc.cfg.Signers) == 0:
		return result{}, errNoSigner
	case !rc.enter():
		return result{}, errBusy
	}
	defer rc.leave()
	a := &attempt{path: from.path, header: from.header, body: from.body, replay: mode}
	if mode == replayFresh {
		same := &webhooktest.Delivery{Header: from.header, Body: from.body}
		fresh := same.Clone().Sign(time.Now(), rc.cfg.Signers...)
		a.header = fresh.Header
	}
	if !rc.store.repeat(number, a) {
		return result{}, errGone
	}
	res := rc.forward.send(rc.ctx, a.header, a.body)
	rc.store.finish(g, a, res)
	rc.notice(rc.noticeOf(g, a))
	return res, nil
}
