// The picture of the peak and how it was shaved, as a file that needs nothing else.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include "books.hpp"
#include "sample.hpp"

/// When the provider was dead, in milliseconds.
struct outage {
  count from;
  count until;
};

class plot {
 public:
  plot(const samples& all, outage dead) : all_(all), dead_(dead) {
    for (const sample& s : all_) {
      orders_ = std::max(orders_, s.backlog);
      end_ = std::max(end_, s.ms);
    }
    for (std::size_t i = 1; i < all_.size(); ++i)
      rates_ = std::max(rates_, rate(all_[i - 1], all_[i], &sample::requests));
  }

  void write(std::FILE* to) const {
    std::fprintf(to,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
                 "font-size=\"13\" fill=\"#222\">\n"
                 "<title>A flash sale: the peak is shaved</title>\n"
                 "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                 width, height, width, height);
    draw_axes(to);
    draw(to, "#9aa5b1", "1.5", "", "#e4e8ec",
         [this](const sample& a, const sample& b) { return of_rate(rate(a, b, &sample::requests)); });
    draw_outage(to);
    draw(to, "#d55e00", "2", "", "none",
         [this](const sample& a, const sample& b) { return of_rate(rate(a, b, &sample::accepted)); });
    draw(to, "#0072b2", "2", "", "none",
         [this](const sample& a, const sample& b) { return of_rate(rate(a, b, &sample::drained)); });
    draw(to, "#222222", "2", "6 4", "none",
         [this](const sample&, const sample& b) { return of_orders(b.backlog); });
    draw_legend(to);
    std::fprintf(to, "</svg>\n");
  }

 private:
  static constexpr int width = 960;
  static constexpr int height = 520;
  static constexpr int left = 90;
  static constexpr int right = 870;
  static constexpr int top = 70;
  static constexpr int bottom = 460;

  [[nodiscard]] double of_time(count ms) const {
    return left + static_cast<double>(right - left) * static_cast<double>(ms) /
                      static_cast<double>(std::max<count>(end_, 1));
  }
  static double up(count n, count most) {
    return bottom -
           static_cast<double>(bottom - top) * static_cast<double>(n) / static_cast<double>(ceiling(most));
  }
  [[nodiscard]] double of_rate(count n) const { return up(n, rates_); }
  [[nodiscard]] double of_orders(count n) const { return up(n, orders_); }
  /// How far the lines of a grid are apart: 1, 2 or 5 times a power of ten, so that there are `lines` at the most.
  static count apart(count most, count lines = 5) {
    for (count power = 1;; power *= 10) {
      for (const count n : {power, 2 * power, 5 * power}) {
        if (most * 49 / 50 <= n * lines) return n;
      }
    }
  }
  /// Where an axis ends: at a line of the grid, of which what is drawn may be two per cent beyond.
  static count ceiling(count most) {
    return std::max<count>((most * 49 / 50 + apart(most) - 1) / apart(most), 1) * apart(most);
  }

  static void text(std::FILE* to, double x, double y, const char* how, const std::string& what) {
    std::fprintf(to, "<text x=\"%.1f\" y=\"%.1f\"%s>%s</text>\n", x, y, how, what.c_str());
  }
  static void line(std::FILE* to, double x1, double y1, double x2, double y2, const char* color) {
    std::fprintf(to, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, color);
  }

  void draw_outage(std::FILE* to) const {
    const double from = of_time(std::min(dead_.from, end_));
    const double until = of_time(std::min(dead_.until, end_));
    std::fprintf(
        to, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#d33\" fill-opacity=\"0.13\"/>\n",
        from, top, until - from, bottom - top);
    text(to, until - 6, top + 160, " text-anchor=\"end\" font-size=\"12\" fill=\"#a33\"", "provider dead");
  }
  void draw_axes(std::FILE* to) const {
    for (count n = 0; n <= ceiling(rates_); n += apart(rates_)) {
      line(to, left, of_rate(n), right, of_rate(n), "#e8e8e8");
      text(to, left - 8, of_rate(n) + 4, " text-anchor=\"end\"", grouped(n));
    }
    for (count n = 0; n <= ceiling(orders_); n += apart(orders_)) {
      line(to, right, of_orders(n), right + 5, of_orders(n), "#222");
      text(to, right + 9, of_orders(n) + 4, "", grouped(n));
    }
    const count seconds = end_ / 1000;
    for (count s = 0; s <= seconds; s += apart(seconds, 12)) {
      line(to, of_time(s * 1000), bottom, of_time(s * 1000), bottom + 5, "#222");
      text(to, of_time(s * 1000), bottom + 20, " text-anchor=\"middle\"", std::to_string(s));
    }
    line(to, left, bottom, right, bottom, "#222");
    line(to, left, top, left, bottom, "#222");
    line(to, right, top, right, bottom, "#222");
    text(to, (left + right) / 2., bottom + 42, " text-anchor=\"middle\"",
         "time since the beginning of the sale (s)");
    std::fprintf(
        to,
        "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">rate (1/s)</text>\n"
        "<text transform=\"translate(%d %d) rotate(90)\" text-anchor=\"middle\">backlog (orders)</text>\n",
        (top + bottom) / 2, width - 12, (top + bottom) / 2);
  }
  /// y(before, sample) of each sample but the first, as a line, and what is below it filled.
  template <class Y>
  void draw(std::FILE* to, const char* color, const char* thickness, const char* dashes, const char* fill,
            Y y) const {
    if (all_.size() < 2) return;
    const bool is_filled = std::string(fill) != "none";
    std::fprintf(to, "<path fill=\"%s\" stroke=\"%s\" stroke-width=\"%s\" stroke-dasharray=\"%s\" d=\"", fill,
                 color, thickness, *dashes != 0 ? dashes : "none");
    if (is_filled) std::fprintf(to, "M%.1f %d", of_time(all_[0].ms), bottom);
    for (std::size_t i = 1; i < all_.size(); ++i) {
      const double middle = (of_time(all_[i - 1].ms) + of_time(all_[i].ms)) / 2;
      std::fprintf(to, "%c%.1f %.1f", i == 1 && !is_filled ? 'M' : 'L', middle, y(all_[i - 1], all_[i]));
    }
    if (is_filled) std::fprintf(to, "L%.1f %dZ", of_time(all_.back().ms), bottom);
    std::fprintf(to, "\"/>\n");
  }
  static void draw_legend(std::FILE* to) {
    struct item {
      const char* color;
      const char* dashes;
      const char* what;
    };
    constexpr item items[] = {{"#9aa5b1", "none", "requests (1/s)"},
                              {"#d55e00", "none", "orders accepted (1/s)"},
                              {"#0072b2", "none", "orders worked off (1/s)"},
                              {"#222222", "6 4", "backlog of order-service (orders, right)"}};
    text(to, left, 26, " font-size=\"16\" font-weight=\"bold\"", "A flash sale: the peak is shaved");
    double x = left;
    for (const item& i : items) {
      std::fprintf(to, "<path d=\"M%.1f 46h28\" stroke=\"%s\" stroke-width=\"3\" stroke-dasharray=\"%s\"/>\n",
                   x, i.color, i.dashes);
      text(to, x + 34, 50, "", i.what);
      x += 34 + 7.2 * static_cast<double>(std::string(i.what).size()) + 14;
    }
  }

  const samples& all_;
  outage dead_;
  count rates_ = 0;   // \ the most that there is to draw
  count orders_ = 0;  // |
  count end_ = 0;     // /
};
