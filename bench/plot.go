package main

import (
	"fmt"
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

var colors = []color.Color{
	color.RGBA{0xb0, 0xb0, 0xb0, 0xff},
	color.RGBA{0x42, 0x85, 0xf4, 0xff},
	color.RGBA{0xf4, 0x9b, 0x42, 0xff},
	color.RGBA{0x8a, 0x6d, 0xc9, 0xff},
	color.RGBA{0x4a, 0xa5, 0x64, 0xff},
	color.RGBA{0xc9, 0x4f, 0x4f, 0xff},
}

// bars draws groups of bars, one of each series in each group.
func bars(file, title, unit string, groups, series []string, values [][]float64) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, unit
	p.Y.Min = 0
	p.Legend.Top = true
	width := vg.Points(12)
	for s, name := range series {
		b, err := plotter.NewBarChart(plotter.Values(values[s]), width)
		if err != nil {
			return err
		}
		b.LineStyle.Width = 0
		b.Color = colors[s%len(colors)]
		b.Offset = width * vg.Length(float64(s)-float64(len(series)-1)/2)
		p.Add(b)
		p.Legend.Add(name, b)
	}
	p.NominalX(groups...)
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.Y.Max *= 1.35 // room for the legend
	return p.Save(18*vg.Centimeter, 10*vg.Centimeter, file)
}

// draw writes the plots of the results.
func draw(dir string, r *results) error {
	var groups []string
	for _, s := range sizes {
		groups = append(groups, bytesName(s))
	}
	perKind := make([][]float64, len(r.verify[0].names))
	for k := range perKind {
		for s := range sizes {
			perKind[k] = append(perKind[k], r.verify[0].costs[s][k].ns/r.verify[0].costs[s][0].ns)
		}
	}
	err := bars(filepath.Join(dir, "verify.svg"), "Verifying a static webhook, one secret",
		"times the floor", groups, r.verify[0].names, perKind)
	if err != nil {
		return err
	}
	groups = nil
	rates := make([][]float64, len(receiveNames))
	for w, workers := range r.workers {
		groups = append(groups, fmt.Sprintf("%d at a time", workers))
		for k := range receiveNames {
			rates[k] = append(rates[k], 1e9/r.tcp[w][k].ns)
		}
	}
	return bars(filepath.Join(dir, "receive.svg"), "Receiving over loopback TCP",
		"deliveries per second", groups, receiveNames, rates)
}
