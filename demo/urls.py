"""The URL paths of the demo: the page, and the frame of one person on it."""

from django.urls import path

from demo import views

app_name = "demo"
urlpatterns = [
    path("", views.index, name="index"),
    path("demo/<slug:username>/", views.person, name="person"),
]
