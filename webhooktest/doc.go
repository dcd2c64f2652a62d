// Package webhooktest helps to test programs that receive Gemini webhooks. It
// makes and signs deliveries, good and bad:
//
//	delivery := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
//	recorder := httptest.NewRecorder()
//	handler.ServeHTTP(recorder, delivery.Request("/gemini"))
//
// [Read] and [Load] read recorded deliveries.
package webhooktest
