// Package webhooktest helps to test programs that receive Gemini webhooks. It
// makes and signs deliveries, good and bad:
//
//	delivery := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
//	recorder := httptest.NewRecorder()
//	handler.ServeHTTP(recorder, delivery.Request("/gemini"))
//
// Its methods make the bad variants: [Delivery.Stale], [Delivery.Tampered],
// [Delivery.WrongSecret] and others. [Dynamic] signs dynamic deliveries, with
// [KeyServer] in place of Google's key set. [Sender] delivers as Google does,
// with retries, duplicates and hang-ups. [Record] writes deliveries to files,
// and [Load] reads them.
package webhooktest
