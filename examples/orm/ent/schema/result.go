// Package schema has the schemas that ent generates its code from.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
)

// Result is a row that ent writes.
type Result struct{ ent.Schema }

// Fields implements [ent.Interface].
func (Result) Fields() []ent.Field {
	return []ent.Field{field.String("webhook_id").MaxLen(256), field.Text("job")}
}

// Annotations implements [ent.Interface].
func (Result) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("ent_results")}
}
