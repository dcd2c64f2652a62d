package main

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// testGORM tests what programs do with GORM beyond a single write.
func testGORM(t *testing.T, d *database) {
	openLibrary(t, d, openGORM)
	for _, tt := range []struct {
		name    string
		prepare bool // gorm.Config.PrepareStmt
		write   func(orm *gorm.DB, row gormResult) error
		status  int
		rows    int
	}{
		{"two writes", false, createTwo, http.StatusOK, 2},
		{"two prepared writes", true, createTwo, http.StatusOK, 2},
		{"inner transaction", false, createInside, http.StatusOK, 2},
		{"prepared inner transaction", true, createInside, http.StatusOK, 2},
		{"failed inner transaction", false, failInside, http.StatusOK, 1},
		{"Commit", false, createAndCommit, http.StatusInternalServerError, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receiver := newGORMReceiver(t, d, gorm.Config{PrepareStmt: tt.prepare}, tt.write)
			for range 2 { // so that what was prepared is used again
				delivery := newDelivery()
				assert.Equal(t, tt.status, deliver(receiver, delivery))
				assert.Equal(t, tt.rows, rowsByID(t, d, "gorm")[delivery.ID()])
			}
		})
	}

	t.Run("prepared session", func(t *testing.T) {
		receiver := newGORMReceiver(t, d, gorm.Config{}, createPrepared)
		assert.Equal(t, http.StatusOK, deliver(receiver, newDelivery()))
		delivery := newDelivery()
		assert.Equal(t, http.StatusInternalServerError, deliver(receiver, delivery),
			"GORM can use a cached statement in another transaction: change docs/orm.md")
		assert.Zero(t, rowsByID(t, d, "gorm")[delivery.ID()])
	})
}

// newGORMReceiver returns a receiver that writes in the store's transaction.
func newGORMReceiver(
	t *testing.T, d *database, config gorm.Config, write func(*gorm.DB, gormResult) error,
) http.Handler {
	t.Helper()
	db, err := gorm.Open(gormDialector(d), &config)
	require.NoError(t, err)
	return newReceiver(t, d, func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		orm := db.WithContext(ctx)
		orm.Statement.ConnPool = tx
		return write(orm, gormResult{WebhookID: ev.ID})
	})
}

func createTwo(orm *gorm.DB, row gormResult) error {
	second := row
	if err := orm.Create(&row).Error; err != nil {
		return err
	}
	return orm.Create(&second).Error
}

func createPrepared(orm *gorm.DB, row gormResult) error {
	return createTwo(orm.Session(&gorm.Session{PrepareStmt: true}), row)
}

func createInside(orm *gorm.DB, row gormResult) error {
	return orm.Transaction(func(orm *gorm.DB) error { return createTwo(orm, row) })
}

// failInside writes a row after an inner transaction that was rolled back.
func failInside(orm *gorm.DB, row gormResult) error {
	err := orm.Transaction(func(orm *gorm.DB) error {
		return errors.Join(createTwo(orm, row), assert.AnError)
	})
	if !errors.Is(err, assert.AnError) {
		return err
	}
	return orm.Create(&row).Error
}

func createAndCommit(orm *gorm.DB, row gormResult) error {
	if err := orm.Create(&row).Error; err != nil {
		return err
	}
	return orm.Commit().Error
}
